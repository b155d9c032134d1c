/** The image that is measured: layers of random bytes (nothing compresses, so that bytes in are bytes out), gzipped, as an OCI layout. */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream, existsSync } from 'node:fs'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { tarFile, writeTar } from '@trusted-pods/platform/tar-writer.ts'
import type { ImageSource } from '@trusted-pods/protocol/image/image-source.ts'
import { CONFIG_TYPE, layerType, MANIFEST_TYPE } from '@trusted-pods/protocol/image/media-types.ts'
import { parseImageConfig, parseImageManifest } from '@trusted-pods/protocol/image/oci-documents.ts'

const MIB = 1024 * 1024

/** Made once for a folder. */
export async function makeImage(folder: string, { layers, layerMiB }: { layers: number; layerMiB: number }) {
  if (existsSync(join(folder, 'index.json'))) return
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true })
  const diffIds: string[] = []
  const descriptors: object[] = []
  for (let i = 0; i < layers; i++) {
    const { diffId, ...descriptor } = await makeLayer(folder, layerMiB)
    diffIds.push(diffId)
    descriptors.push(descriptor)
  }
  const config = { architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: diffIds } }
  const configDescriptor = { mediaType: CONFIG_TYPE, ...(await putJson(folder, config)) }
  const manifest = { schemaVersion: 2, mediaType: MANIFEST_TYPE, config: configDescriptor, layers: descriptors }
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' }
  const manifestDescriptor = { mediaType: MANIFEST_TYPE, ...(await putJson(folder, manifest)), annotations }
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifestDescriptor] }))
}

export async function openImageSource(folder: string): Promise<ImageSource> {
  const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'))
  const manifest = parseImageManifest(await readFile(blob(folder, index.manifests[0].digest)))
  const config = new Uint8Array(await readFile(blob(folder, manifest.config.digest)))
  const { diffIds } = parseImageConfig(config)
  const layers = manifest.layers.map(({ mediaType, digest, size }, i) => ({
    mediaType,
    size,
    digest,
    diffId: diffIds[i] ?? '',
    open: () => createReadStream(blob(folder, digest), { highWaterMark: MIB / 4 }),
  }))
  return { name: folder, config, layers, async [Symbol.asyncDispose]() {} }
}

export async function layerFiles(folder: string): Promise<string[]> {
  const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'))
  return parseImageManifest(await readFile(blob(folder, index.manifests[0].digest))).layers.map(({ digest }) =>
    blob(folder, digest),
  )
}

async function makeLayer(folder: string, layerMiB: number) {
  const [diff, packed] = [createHash('sha256'), createHash('sha256')]
  const content = async function* () {
    for (let i = 0; i < layerMiB; i++) yield randomBytes(MIB)
  }
  const tar = writeTar([{ ...tarFile('data.bin', new Uint8Array()), size: layerMiB * MIB, content }])
  const temporary = join(folder, 'layer.part')
  await pipeline(observed(tar, diff), createGzip({ level: 1, chunkSize: MIB }), createWriteStream(temporary))
  for await (const chunk of createReadStream(temporary, { highWaterMark: MIB })) packed.update(chunk)
  const digest = `sha256:${packed.digest('hex')}`
  const { size } = await stat(temporary)
  await rename(temporary, blob(folder, digest))
  return { mediaType: layerType('gzip'), digest, size, diffId: `sha256:${diff.digest('hex')}` }
}

async function* observed(bytes: AsyncIterable<Uint8Array>, hash: { update(bytes: Uint8Array): unknown }) {
  for await (const chunk of bytes) {
    hash.update(chunk)
    yield chunk
  }
}

async function putJson(folder: string, value: object) {
  const bytes = Buffer.from(JSON.stringify(value))
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  await writeFile(blob(folder, digest), bytes)
  return { digest, size: bytes.length }
}

const blob = (folder: string, digest: string) => join(folder, 'blobs', ...digest.split(':'))
