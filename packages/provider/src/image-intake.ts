/** Images of one pod: fetched as ciphertext from its publisher, opened, verified, handed to the runtime. Spec: spec/IMAGES.md#open. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Connection } from '@libp2p/interface'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { nodeStreamCrypto } from '@trusted-pods/platform/stream-crypto.ts'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import type { Pod } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { fetchTree } from '@trusted-pods/protocol/image/blocks.ts'
import { type OpenLimits, openImage } from '@trusted-pods/protocol/image/open.ts'
import type { ImageRef, PodRuntime } from './runtime/pod-runtime.ts'

export interface IntakeOptions {
  /** Folder of blocks; each pod has its own below it, gone with the pod. */
  readonly folder: string
  readonly runtime: Pick<PodRuntime, 'importImage'>
  /** For all images of a pod together. */
  readonly limits: OpenLimits
}

export class ImageIntake {
  readonly #options: IntakeOptions

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  /** Pulls what is missing of every image; blocks that are held are not asked for again. */
  async fetch(
    podId: string,
    pod: Pod,
    source: { connection: Connection; signal: AbortSignal; onProgress: (bytes: number) => void },
  ): Promise<void> {
    const { connection, signal, onProgress } = source
    const blockstore = await openFileBlockstore(this.#folder(podId))
    try {
      let before = 0
      for (const cid of distinctImages(pod).keys()) {
        const start = before
        const { bytes } = await fetchTree(connection, {
          cid: Buffer.from(cid, 'hex'),
          blockstore,
          maxBytes: this.#options.limits.encryptedBytes - before,
          signal,
          onProgress: (fetched) => onProgress(start + fetched),
        })
        before += bytes
      }
      onProgress(before)
    } finally {
      await blockstore.close()
    }
  }

  /** The runtime's name of each container's image, in order, once every image was verified and taken in. */
  async open(podId: string, pod: Pod, { signal }: { signal: AbortSignal }): Promise<ImageRef[]> {
    const { runtime, limits } = this.#options
    const blockstore = await openFileBlockstore(this.#folder(podId))
    try {
      const names = new Map<string, ImageRef>()
      let left = limits
      for (const [cid, privateKey] of distinctImages(pod)) {
        const key = { cid: Buffer.from(cid, 'hex'), privateKey }
        const image = await openImage(blockstore, { ...key, crypto: nodeStreamCrypto, limits: left, signal })
        left = { ...left, unpackedBytes: left.unpackedBytes - image.layers.reduce((sum, { size }) => sum + size, 0) }
        names.set(cid, await runtime.importImage(image, { signal }))
      }
      return pod.containers.map(({ image }) => names.get(toHex(image?.cid ?? new Uint8Array())) as ImageRef)
    } finally {
      await blockstore.close()
    }
  }

  async forget(podId: string): Promise<void> {
    await rm(this.#folder(podId), { recursive: true, force: true })
  }

  #folder(podId: string): string {
    return join(this.#options.folder, podId)
  }
}

/** Images that differ, by the hex of their CID, with the key that opens each. */
function distinctImages(pod: Pod): Map<string, Uint8Array> {
  return new Map(pod.containers.flatMap(({ image }) => (image ? [[toHex(image.cid), image.privateKey] as const] : [])))
}
