/**
 * A tree that `nerdctl run ipfs://CID` can read as well. It reads no folders: its CID names a small JSON file with one OCI descriptor, and
 * every descriptor from there on says in `urls` under which CID its blob lies as a file of its own. Spec: spec/IMAGES.md#nerdctl.
 */
import { type StoredBlob, writeBlob, writeImageTree } from '@trusted-pods/protocol/image/image-tree.ts'
import {
  asJsonArray,
  asJsonObject,
  type JsonObject,
  parseJsonObject,
} from '@trusted-pods/protocol/image/json-object.ts'
import { MANIFEST_TYPE } from '@trusted-pods/protocol/image/media-types.ts'
import { writeFile } from '@trusted-pods/protocol/image/unixfs-write.ts'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { encodeJson } from './images/manifest-types.ts'

/** Name of the reference file in the tree's root, so that who pins the tree pins it too. */
export const REFERENCE_FILE = 'descriptor.json'

/** As `writeImageTree`, the manifest but for the `urls` of its descriptors.
 * @returns also the CID that nerdctl is told. */
export async function writeNerdctlTree(
  blockstore: Blockstore,
  manifest: Uint8Array,
  blobs: readonly StoredBlob[],
): Promise<{ cid: CID; reference: CID }> {
  const located = withUrls(manifest, blobs)
  const { digest, node } = await writeBlob(blockstore, located)
  const descriptor = { mediaType: MANIFEST_TYPE, digest, size: located.length, urls: [urlOf(node.cid)] }
  const reference = await writeFile(blockstore, encodeJson(descriptor))
  const { cid } = await writeImageTree(blockstore, located, blobs, { [REFERENCE_FILE]: reference })
  return { cid, reference: reference.cid }
}

function withUrls(manifest: Uint8Array, blobs: readonly StoredBlob[]): Uint8Array {
  const cids = new Map(blobs.map(({ digest, node }) => [digest, node.cid]))
  const located = (value: unknown): JsonObject => {
    const descriptor = asJsonObject(value, 'descriptor')
    const cid = cids.get(String(descriptor.digest))
    // Other urls would lead nerdctl past IPFS.
    return cid ? { ...descriptor, urls: [urlOf(cid)] } : descriptor
  }
  const json = parseJsonObject(manifest, 'image manifest')
  const layers = asJsonArray(json.layers, 'layers').map(located)
  return encodeJson({ ...json, mediaType: MANIFEST_TYPE, config: located(json.config), layers })
}

function urlOf(cid: CID): string {
  return `ipfs://${cid}`
}
