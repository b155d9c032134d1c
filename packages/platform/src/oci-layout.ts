/**
 * Between the tree on a blockstore and an OCI image layout in a folder, blobs unchanged: what skopeo, buildah and containerd
 * read and write. Spec: spec/IMAGES.md#layout.
 */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { parseTreeCid } from '@trusted-pods/protocol/image/block.ts'
import {
  readTreeManifest,
  resolveBlob,
  type StoredBlob,
  writeImageTree,
} from '@trusted-pods/protocol/image/image-tree.ts'
import { INDEX_TYPE } from '@trusted-pods/protocol/image/media-types.ts'
import {
  type Descriptor,
  MAX_DOCUMENT_BYTES,
  parseImageManifest,
  parseIndex,
} from '@trusted-pods/protocol/image/oci-documents.ts'
import { streamFile } from '@trusted-pods/protocol/image/unixfs-read.ts'
import { writeFile as writeUnixfsFile } from '@trusted-pods/protocol/image/unixfs-write.ts'
import type { Blockstore } from 'interface-blockstore'

export interface LayoutOptions {
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes the image of a tree as a layout whose one image is tagged `latest`. The folder is made; existing blobs are replaced.
 * @throws TrustedPodsError PROVISION_IMAGE_REFUSED where the tree is no image.
 */
export async function exportOciLayout(
  blockstore: Blockstore,
  { cid, folder, signal }: LayoutOptions & { cid: Uint8Array; folder: string },
): Promise<void> {
  const root = parseTreeCid(cid)
  const reading = signal ? { signal } : {}
  const { descriptor, bytes } = await readTreeManifest(blockstore, root, reading)
  const { config, layers } = parseImageManifest(bytes)
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true })
  for (const blob of [descriptor, config, ...layers]) {
    const content = streamFile(blockstore, await resolveBlob(blockstore, root, blob.digest, reading), {
      maxBytes: blob.size,
      ...reading,
    })
    await pipeline(hashed(content, blob), createWriteStream(blobFile(folder, blob)))
  }
  await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  await writeFile(join(folder, 'index.json'), encodeIndex(descriptor))
}

/**
 * Puts the one image of a layout on a blockstore as a tree, layers as they are.
 * @returns the binary CIDv1 of the tree. @throws TrustedPodsError PROVISION_IMAGE_REFUSED where the layout is no such image,
 * MANIFEST_IMAGE_NOT_FOUND where the folder is no layout.
 */
export async function importOciLayout(
  folder: string,
  { blockstore, signal }: LayoutOptions & { blockstore: Blockstore },
): Promise<Uint8Array> {
  const { manifest, blobs } = await importLayoutBlobs(folder, { blockstore, signal })
  return (await writeImageTree(blockstore, manifest, blobs)).cid.bytes
}

/** Config and layers on the blockstore, and the manifest, which is not there yet. Throws as above. */
export async function importLayoutBlobs(
  folder: string,
  { blockstore, signal }: LayoutOptions & { blockstore: Blockstore },
): Promise<{ manifest: Uint8Array; blobs: StoredBlob[] }> {
  const descriptor = parseIndex(await readDocument(join(folder, 'index.json')))
  const manifest = await readDocument(blobFile(folder, descriptor))
  const { config, layers } = parseImageManifest(manifest)
  const blobs: StoredBlob[] = []
  for (const blob of [config, ...layers]) {
    signal?.throwIfAborted()
    const content = hashed(createReadStream(blobFile(folder, blob), signal ? { signal } : {}), blob)
    blobs.push({ digest: blob.digest, node: await writeUnixfsFile(blockstore, content) })
  }
  return { manifest, blobs }
}

async function* hashed(content: AsyncIterable<Uint8Array>, { digest, size }: Descriptor): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  let length = 0
  for await (const chunk of content) {
    hash.update(chunk)
    length += chunk.length
    yield chunk
  }
  const found = `sha256:${hash.digest('hex')}`
  if (found !== digest || length !== size)
    throw new TrustedPodsError('PROVISION_IMAGE_REFUSED', `blob ${digest} of ${size} bytes is ${found} of ${length}`)
}

async function readDocument(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path)
    if (size <= MAX_DOCUMENT_BYTES) return Uint8Array.from(await readFile(path))
    throw new TrustedPodsError('PROVISION_IMAGE_REFUSED', `${path} has ${size} bytes, at most ${MAX_DOCUMENT_BYTES}`)
  } catch (cause) {
    if (cause instanceof TrustedPodsError) throw cause
    throw new TrustedPodsError('MANIFEST_IMAGE_NOT_FOUND', `${path} cannot be read: no OCI layout here`, { cause })
  }
}

function encodeIndex({ mediaType, digest, size }: Descriptor): string {
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' }
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: INDEX_TYPE,
    manifests: [{ mediaType, digest, size, annotations }],
  })
}

function blobFile(folder: string, { digest }: Descriptor): string {
  return join(folder, 'blobs', ...digest.split(':'))
}
