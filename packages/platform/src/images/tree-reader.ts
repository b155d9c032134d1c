/** Reads the image of a tree on a blockstore. Spec: spec/IMAGES.md#tree. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { readTreeManifest, resolveBlob } from '@trusted-pods/protocol/image/image-tree.ts'
import { streamFile } from '@trusted-pods/protocol/image/unixfs-read.ts'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import type { ImageReader, ReadOptions } from './image-reader.ts'
import { asInvalidImage } from './invalid-image.ts'

/** @throws TrustedPodsError MANIFEST_IMAGE_NOT_FOUND where the store lacks blocks of it, MANIFEST_IMAGE_INVALID where it is no image. */
export async function openTree(blockstore: Blockstore, cid: CID, { signal }: ReadOptions = {}): Promise<ImageReader> {
  const name = `ipfs:${cid}`
  const reading = signal ? { signal } : {}
  try {
    const { descriptor } = await asInvalidImage(name, () => readTreeManifest(blockstore, cid, reading))
    return { name, root: descriptor, open: openTreeBlob, async [Symbol.asyncDispose]() {} }
  } catch (cause) {
    throw notWhole(name, cause)
  }

  async function* openTreeBlob({ digest, size }: { digest: string; size: number }): AsyncGenerator<Uint8Array> {
    try {
      const file = await resolveBlob(blockstore, cid, digest, reading)
      yield* streamFile(blockstore, file, { maxBytes: size, ...reading })
    } catch (cause) {
      throw notWhole(name, cause)
    }
  }
}

function notWhole(name: string, cause: unknown): unknown {
  if (!(cause instanceof TrustedPodsError) || cause.code !== 'PROVISION_IMAGE_FETCH') return cause
  return new TrustedPodsError('MANIFEST_IMAGE_NOT_FOUND', `${name} is not whole here: ${cause.message}`, { cause })
}
