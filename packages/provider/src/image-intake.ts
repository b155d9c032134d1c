/** Images of one pod: fetched as ciphertext from its publisher or whoever else has them, opened, verified, handed to the runtime. Spec: spec/IMAGES.md#open. */
import type { Connection } from '@libp2p/interface'
import { releaseBlock } from '@trusted-pods/platform/arrived-blocks.ts'
import { nodeStreamCrypto } from '@trusted-pods/platform/stream-crypto.ts'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import type { Pod } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { BlockSource } from '@trusted-pods/protocol/image/block-source.ts'
import { fetchTreeFrom } from '@trusted-pods/protocol/image/fetch-tree.ts'
import { type OpenLimits, openImage } from '@trusted-pods/protocol/image/open.ts'
import { peerSource } from '@trusted-pods/protocol/image/peer-source.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { ImageSources } from './image-sources.ts'
import { ReservingStore } from './reserving-store.ts'
import type { ImageRef, PodRuntime } from './runtime/pod-runtime.ts'
import { TreeTable } from './tree-table.ts'

export interface IntakeOptions {
  /** Folder of blocks, shared by all pods: they are ciphertext, and nobody is told what is held but who knows a CID of it. */
  readonly folder: string
  /** Free space of the disk that stays, whatever was promised; default 0. */
  readonly reserveBytes?: number
  /** Bytes of images that no pod needs any more, kept for the next one. */
  readonly coldBytes: number
  readonly runtime: Pick<PodRuntime, 'importImage'>
  /** For all images of a pod together. */
  readonly limits: OpenLimits
  /** Who else has an image's blocks; absent: nobody. */
  readonly sources?: ImageSources
  readonly log?: Logger
}

export interface PullOptions {
  /** To the publisher, where it is there: it is asked first. */
  readonly connection?: Connection
  /** What was quoted; 0: our own limit. */
  readonly quotedBytes: number
  readonly signal: AbortSignal
  /** Bytes of the pod's images that are held by now. */
  readonly onProgress: (heldBytes: number) => void
}

export class ImageIntake {
  readonly #options: IntakeOptions
  readonly #trees: TreeTable

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#trees = new TreeTable(options.folder, { maxColdBytes: options.coldBytes })
  }

  /** Whether anybody but the publisher may have what is missing of the pod's images. */
  hasSources(pod: Pod): boolean {
    return [...distinctImages(pod).values()].some(({ sources }) => this.#otherSources(sources).length > 0)
  }

  /** Pulls what is missing of every image; blocks that are held, of this pod or of an earlier one, are not asked for.
   * @returns bytes of all of them. */
  async fetch(podId: string, pod: Pod, options: PullOptions): Promise<number> {
    const { connection, quotedBytes, signal, onProgress } = options
    const { log, limits } = this.#options
    const images = distinctImages(pod)
    // First of all: what is named is not evicted.
    await this.#trees.use(podId, [...images.keys()])
    const { folder, reserveBytes = 0 } = this.#options
    const blockstore = new ReservingStore(await this.#trees.blockstore(), { folder, bytes: reserveBytes })
    const maxBytes = quotedBytes > 0 ? Math.min(quotedBytes, limits.encryptedBytes) : limits.encryptedBytes
    let before = 0
    for (const [cid, { sources }] of images) {
      const start = before
      const asked = () => [...(connection ? [peerSource(connection)] : []), ...this.#otherSources(sources)]
      const tree = {
        cid: Buffer.from(cid, 'hex'),
        blockstore,
        maxBytes: maxBytes - before,
        signal,
        onStored: releaseBlock,
        onProgress: (_: number, { heldBytes }: { heldBytes: number }) => onProgress(start + heldBytes),
        onLeft: (source: string, { message, cause }: Error) =>
          log?.info('source of blocks left', {
            pod: podId,
            source,
            reason: message,
            ...(cause !== undefined && { cause: String(cause) }),
          }),
      }
      const { bytes } = await this.#trees.whole(() => fetchTreeFrom(asked(), tree))
      before += bytes
    }
    return before
  }

  /** The runtime's name of each container's image, in order, once every image was verified and taken in. */
  async open(podId: string, pod: Pod, { signal }: { signal: AbortSignal }): Promise<ImageRef[]> {
    const { runtime, limits } = this.#options
    const images = distinctImages(pod)
    await this.#trees.use(podId, [...images.keys()])
    const blockstore = await this.#trees.blockstore()
    const names = new Map<string, ImageRef>()
    let left = limits
    for (const [cid, { privateKey }] of images) {
      const key = { cid: Buffer.from(cid, 'hex'), privateKey }
      const image = await openImage(blockstore, { ...key, crypto: nodeStreamCrypto, limits: left, signal })
      const unpackedBytes = image.layers.reduce((sum, { size }) => sum + size, 0)
      left = { ...left, unpackedBytes: left.unpackedBytes - unpackedBytes }
      names.set(cid, await runtime.importImage(image, { signal }))
    }
    return pod.containers.map(({ image }) => names.get(toHex(image?.cid ?? new Uint8Array())) as ImageRef)
  }

  /** The pod no longer needs its blocks; they stay while there is room, for the next pod of the same image. */
  async forget(podId: string): Promise<void> {
    await this.#trees.release(podId)
  }

  #otherSources(addresses: ReadonlySet<string>): BlockSource[] {
    return this.#options.sources?.([...addresses]) ?? []
  }
}

interface DistinctImage {
  readonly privateKey: Uint8Array
  /** Of all containers that run it. */
  readonly sources: Set<string>
}

/** Images that differ, by the hex of their CID: the key that opens each, and who has its blocks. */
function distinctImages(pod: Pod): Map<string, DistinctImage> {
  const images = new Map<string, DistinctImage>()
  for (const { image } of pod.containers) {
    if (!image) continue
    const cid = toHex(image.cid)
    const before = images.get(cid)?.sources ?? []
    images.set(cid, { privateKey: image.privateKey, sources: new Set([...before, ...image.sources]) })
  }
  return images
}
