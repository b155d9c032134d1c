/**
 * Encrypted layers that were published before, found again by their plaintext, so that an unchanged layer is neither encrypted nor sent
 * twice. Spec: spec/IMAGES.md#cache, which says why this gives nothing away. Pure but for the cache.
 */
import { CID } from 'multiformats/cid'
import { encryptedLayerCompression } from './media-types.ts'
import { importImageKey, publicKeyOf } from './ocicrypt/image-key.ts'
import { fromAnnotations, type LayerOptions, toAnnotations } from './ocicrypt/layer-annotations.ts'
import type { TreeNode } from './unixfs-write.ts'

/** What is kept of a layer; the ciphertext's blocks are on the blockstore. */
export interface CachedLayer {
  /** Of an encrypted layer. */
  readonly mediaType: string
  /** sha256:<hex> of the ciphertext. */
  readonly digest: string
  /** Bytes. */
  readonly size: number
  /** Its options as ocicrypt has them, wrapped for the cache's own key. */
  readonly annotations: Readonly<Record<string, string>>
  /** CID of the ciphertext's UnixFS file, and its Tsize. */
  readonly cid: string
  readonly treeBytes: number
  /** CIDs of all its blocks. */
  readonly blocks: readonly string[]
}

export interface LayerCache {
  /** EC P-256, PKCS#8 DER: opens what is kept, and nothing that is published. Secret. */
  readonly privateKey: Uint8Array
  /** A layer whose every block is still there; undefined where there is none. */
  find(diffId: string): Promise<CachedLayer | undefined>
  /** Replaces what was kept under this diff_id. */
  keep(diffId: string, layer: CachedLayer): Promise<void>
}

/** A layer from the cache, its key once more in the clear. */
export interface ReusedLayer {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly node: TreeNode
  readonly options: LayerOptions
}

/** undefined where there is none, or none that can be read: it is then encrypted anew. */
export async function findLayer(cache: LayerCache, diffId: string): Promise<ReusedLayer | undefined> {
  const kept = await cache.find(diffId)
  if (!kept || !encryptedLayerCompression(kept.mediaType)) return undefined
  const { mediaType, digest, size, annotations, cid, treeBytes } = kept
  try {
    const options = await fromAnnotations(annotations, importImageKey(cache.privateKey))
    return { mediaType, digest, size, node: { cid: CID.parse(cid), size: treeBytes }, options }
  } catch {
    // Kept for another key, or damaged: no reason to fail a deployment.
    return undefined
  }
}

/** Keeps a layer that was just encrypted. */
export async function keepLayer(
  cache: LayerCache,
  diffId: string,
  { mediaType, digest, size, node, options, blocks }: ReusedLayer & { blocks: readonly CID[] },
): Promise<void> {
  const annotations = await toAnnotations(options, [await publicKeyOf(cache.privateKey)])
  const stored = { cid: node.cid.toString(), treeBytes: node.size, blocks: blocks.map(String) }
  await cache.keep(diffId, { mediaType, digest, size, annotations, ...stored })
}
