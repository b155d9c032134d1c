/** The one UnixFS tree of an image: an OCI image layout and IPDR's view of it over the same blocks. Spec: spec/IMAGES.md#tree. */
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { sha256 } from '../bytes.ts'
import { isDigestOf, toDigestText } from './digest.ts'
import { INDEX_TYPE, MANIFEST_TYPE } from './media-types.ts'
import { type Descriptor, MAX_DOCUMENT_BYTES, parseIndex } from './oci-documents.ts'
import { refused } from './refused.ts'
import { type ReadOptions, readFile, resolvePath } from './unixfs-read.ts'
import { type TreeNode, writeDirectory, writeFile } from './unixfs-write.ts'

const LAYOUT = { imageLayoutVersion: '1.0.0' }
const REFERENCE = 'latest'

/** A blob that is on the blockstore already. */
export interface StoredBlob {
  /** sha256:<hex>. */
  readonly digest: string
  readonly node: TreeNode
}

/** Writes the tree around blobs (config and layers) that are stored already.
 * @param further entries of the root, beside those that every tree has. */
export async function writeImageTree(
  blockstore: Blockstore,
  manifest: Uint8Array,
  blobs: readonly StoredBlob[],
  further: Readonly<Record<string, TreeNode>> = {},
): Promise<TreeNode> {
  const manifestBlob = await writeBlob(blockstore, manifest)
  const all = [...blobs, manifestBlob]
  const bySha256 = await writeDirectory(
    blockstore,
    Object.fromEntries(all.map(({ digest, node }) => [digest.slice('sha256:'.length), node])),
  )
  const ipdrBlobs = Object.fromEntries(blobs.map(({ digest, node }) => [digest, node]))
  return writeDirectory(blockstore, {
    ...further,
    blobs: await writeDirectory(blockstore, { sha256: bySha256, ...ipdrBlobs }),
    'index.json': await writeFile(blockstore, encodeIndex(manifestBlob.digest, manifest.length)),
    manifests: await writeDirectory(blockstore, {
      [REFERENCE]: manifestBlob.node,
      [manifestBlob.digest]: manifestBlob.node,
    }),
    'oci-layout': await writeFile(blockstore, encodeJson(LAYOUT)),
  })
}

/** A small blob, stored and named by its digest. */
export async function writeBlob(blockstore: Blockstore, bytes: Uint8Array): Promise<StoredBlob> {
  return { digest: toDigestText(await sha256(bytes)), node: await writeFile(blockstore, bytes) }
}

/** The image manifest that the tree names, its digest checked. @throws TrustedPodsError PROVISION_IMAGE_REFUSED. */
export async function readTreeManifest(
  blockstore: Blockstore,
  root: CID,
  options: ReadOptions = {},
): Promise<{ descriptor: Descriptor; bytes: Uint8Array }> {
  const index = await resolvePath(blockstore, root, ['index.json'], options)
  const descriptor = parseIndex(await readFile(blockstore, index, { ...options, maxBytes: MAX_DOCUMENT_BYTES }))
  return { descriptor, bytes: await readBlob(blockstore, root, descriptor, options) }
}

/** A small blob, its length and digest checked. @throws TrustedPodsError PROVISION_IMAGE_REFUSED. */
export async function readBlob(
  blockstore: Blockstore,
  root: CID,
  { digest, size }: Descriptor,
  options: ReadOptions = {},
): Promise<Uint8Array> {
  const cid = await resolveBlob(blockstore, root, digest, options)
  const bytes = await readFile(blockstore, cid, { ...options, maxBytes: size })
  if (bytes.length !== size) throw refused(`blob ${digest} has ${bytes.length} bytes, its descriptor says ${size}`)
  const found = await sha256(bytes)
  if (!isDigestOf(digest, found)) throw refused(`blob ${digest} is ${toDigestText(found)}`)
  return bytes
}

export async function resolveBlob(
  blockstore: Blockstore,
  root: CID,
  digest: string,
  options: ReadOptions = {},
): Promise<CID> {
  return resolvePath(blockstore, root, ['blobs', 'sha256', digest.slice('sha256:'.length)], options)
}

function encodeIndex(digest: string, size: number): Uint8Array {
  return encodeJson({
    schemaVersion: 2,
    mediaType: INDEX_TYPE,
    manifests: [
      { mediaType: MANIFEST_TYPE, digest, size, annotations: { 'org.opencontainers.image.ref.name': REFERENCE } },
    ],
  })
}

function encodeJson(value: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}
