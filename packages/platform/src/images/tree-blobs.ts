/** An image that is written straight into a blockstore, and its tree when all of it is there. Spec: spec/IMAGES.md#tree. */
import { createHash } from 'node:crypto'
import { type StoredBlob, writeBlob, writeImageTree } from '@trusted-pods/protocol/image/image-tree.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import { parseImageManifest } from '@trusted-pods/protocol/image/oci-documents.ts'
import { toBlocks } from '@trusted-pods/protocol/image/to-blocks.ts'
import { type TreeNode, writeFileOfBlocks } from '@trusted-pods/protocol/image/unixfs-write.ts'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { writeNerdctlTree } from '../nerdctl-tree.ts'
import { digestBlocks } from '../thread-digests.ts'
import { type BlobWriter, counting } from './blob-writer.ts'
import type { Blob } from './image-reader.ts'

export interface WrittenTree {
  readonly cid: CID
  /** What nerdctl is told, where it shall find the image. */
  readonly reference?: CID
}

export interface TreeBlobs extends BlobWriter {
  /** Takes in a blob that somebody else has put on the blockstore. */
  add(blob: StoredBlob): void
  /** @param root an image manifest that was put here. */
  writeTree(root: Blob, options?: { forNerdctl?: boolean | undefined }): Promise<WrittenTree>
}

/** Documents stay in memory until the tree is written: a manifest may change once more, and goes into the store once. */
export function openTreeBlobs(blockstore: Blockstore): TreeBlobs {
  const nodes = new Map<string, TreeNode>()
  const documents = new Map<string, Uint8Array>()
  return {
    async put(content, { digest } = {}) {
      const hash = digest ? undefined : createHash('sha256')
      const counted = { size: 0 }
      const blocks = digestBlocks(toBlocks(counting(content, counted, hash)))
      const node = await writeFileOfBlocks(blockstore, blocks)
      const name = digest?.() ?? `sha256:${hash?.digest('hex')}`
      nodes.set(name, node)
      return { digest: name, size: counted.size }
    },
    async putDocument(mediaType, bytes) {
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
      documents.set(digest, bytes)
      return { mediaType, digest, size: bytes.length }
    },
    has: async (digest) => nodes.has(digest),
    add: ({ digest, node }) => void nodes.set(digest, node),
    async writeTree(root, { forNerdctl = false } = {}) {
      const manifest = wanted(documents, root)
      const { config, layers } = parseImageManifest(manifest)
      const blobs = [
        await writeBlob(blockstore, wanted(documents, config)),
        ...layers.map((layer) => ({ digest: layer.digest, node: wanted(nodes, layer) })),
      ]
      if (forNerdctl) return writeNerdctlTree(blockstore, manifest, blobs)
      return { cid: (await writeImageTree(blockstore, manifest, blobs)).cid }
    },
  }
}

function wanted<T>(blobs: ReadonlyMap<string, T>, { digest }: { digest: string }): T {
  const blob = blobs.get(digest)
  if (blob === undefined) throw invalidImage(`the image names the blob ${digest}, which it does not have`)
  return blob
}
