/** An image that was decrypted and verified: the only form that a runtime may import. Spec: spec/IMAGES.md#open. Pure. */

/** One layer as an uncompressed tar whose SHA-256 is its diff_id; `open` streams the plaintext and fails on any mismatch. */
export interface OpenedLayer {
  /** sha256:<hex> of the uncompressed tar, as the config's rootfs.diff_ids has it. */
  readonly diffId: string
  /** Length of the uncompressed tar, bytes. */
  readonly size: number
  open(): AsyncIterable<Uint8Array>
}

export interface OpenedImage {
  /** sha256:<hex> of the encrypted image's OCI manifest: names the image by content. */
  readonly digest: string
  /** The OCI image config, exact bytes. */
  readonly config: Uint8Array
  readonly layers: readonly OpenedLayer[]
}
