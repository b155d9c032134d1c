/** An image in plain text, wherever it comes from: what is published. Spec: spec/IMAGES.md#sources. Pure. */

export interface ImageSourceLayer {
  /** OCI or Docker layer media type; tells the compression of what `open` yields. */
  readonly mediaType: string
  /** Length of what `open` yields, bytes, where it is known beforehand. */
  readonly size?: number
  /** sha256:<hex> of what `open` yields, where nobody has compared it yet: whoever reads all of it hashes it anyhow. */
  readonly digest?: string
  /** sha256:<hex> of the uncompressed tar. */
  readonly diffId: string
  /** Can be called again; every call streams the layer from its start. */
  open(): AsyncIterable<Uint8Array>
}

export interface ImageSource {
  /** What the user called it; never leaves this machine. */
  readonly name: string
  /** The OCI (or Docker) image config, exact bytes. */
  readonly config: Uint8Array
  readonly layers: readonly ImageSourceLayer[]
  [Symbol.asyncDispose](): Promise<void>
}
