/** Images of one pod: fetched as ciphertext from its publisher, opened, verified, handed to the runtime. Spec: spec/IMAGES.md#open. */
import type { Connection } from '@libp2p/interface'
import { nodeStreamCrypto } from '@trusted-pods/platform/stream-crypto.ts'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import type { Pod } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { fetchTree } from '@trusted-pods/protocol/image/blocks.ts'
import { type OpenLimits, openImage } from '@trusted-pods/protocol/image/open.ts'
import type { ImageRef, PodRuntime } from './runtime/pod-runtime.ts'
import { TreeTable } from './tree-table.ts'

export interface IntakeOptions {
  /** Folder of blocks, shared by all pods: they are ciphertext, and nobody is told what is held but who knows a CID of it. */
  readonly folder: string
  /** Bytes of images that no pod needs any more, kept for the next one. */
  readonly coldBytes: number
  readonly runtime: Pick<PodRuntime, 'importImage'>
  /** For all images of a pod together. */
  readonly limits: OpenLimits
}

export class ImageIntake {
  readonly #options: IntakeOptions
  readonly #trees: TreeTable

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#trees = new TreeTable(options.folder, { maxColdBytes: options.coldBytes })
  }

  /** Pulls what is missing of every image; blocks that are held, of this pod or of an earlier one, are not asked for. */
  async fetch(
    podId: string,
    pod: Pod,
    source: { connection: Connection; signal: AbortSignal; onProgress: (bytes: number) => void },
  ): Promise<void> {
    const { connection, signal, onProgress } = source
    const images = distinctImages(pod)
    // First of all: what is named is not evicted.
    await this.#trees.use(podId, [...images.keys()])
    const blockstore = await this.#trees.blockstore()
    let before = 0
    for (const cid of images.keys()) {
      const start = before
      const tree = {
        cid: Buffer.from(cid, 'hex'),
        blockstore,
        maxBytes: this.#options.limits.encryptedBytes - before,
        signal,
        onProgress: (fetched: number) => onProgress(start + fetched),
      }
      const { bytes } = await this.#trees.whileReading(() => fetchTree(connection, tree))
      before += bytes
    }
    onProgress(before)
  }

  /** The runtime's name of each container's image, in order, once every image was verified and taken in. */
  async open(podId: string, pod: Pod, { signal }: { signal: AbortSignal }): Promise<ImageRef[]> {
    const { runtime, limits } = this.#options
    const images = distinctImages(pod)
    await this.#trees.use(podId, [...images.keys()])
    const blockstore = await this.#trees.blockstore()
    const names = new Map<string, ImageRef>()
    let left = limits
    for (const [cid, privateKey] of images) {
      const key = { cid: Buffer.from(cid, 'hex'), privateKey }
      const limitsLeft = left
      await this.#trees.whileReading(async () => {
        const image = await openImage(blockstore, { ...key, crypto: nodeStreamCrypto, limits: limitsLeft, signal })
        const unpackedBytes = image.layers.reduce((sum, { size }) => sum + size, 0)
        left = { ...limitsLeft, unpackedBytes: limitsLeft.unpackedBytes - unpackedBytes }
        names.set(cid, await runtime.importImage(image, { signal }))
      })
    }
    return pod.containers.map(({ image }) => names.get(toHex(image?.cid ?? new Uint8Array())) as ImageRef)
  }

  /** The pod no longer needs its blocks; they stay while there is room, for the next pod of the same image. */
  async forget(podId: string): Promise<void> {
    await this.#trees.release(podId)
  }
}

/** Images that differ, by the hex of their CID, with the key that opens each. */
function distinctImages(pod: Pod): Map<string, Uint8Array> {
  return new Map(pod.containers.flatMap(({ image }) => (image ? [[toHex(image.cid), image.privateKey] as const] : [])))
}
