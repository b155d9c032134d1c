/** A folder with a plain image and key pairs in it, and `trustedpods image …` run in this process. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import type { Compression } from '@trusted-pods/protocol/image/media-types.ts'
import { runProgram } from '../../packages/cli/src/program.ts'
import { type RegistryImage, registryImage } from './hostile-registry.ts'
import { randomTar, sha256Text } from './image-fixture.ts'
import { memoryStream } from './memory-stream.ts'

export interface ImageFolder {
  readonly folder: string
  /** Paths. */
  readonly key: string
  readonly recipient: string
  readonly image: RegistryImage
  /** Digest of the plain image's manifest. */
  readonly digest: string
  /** Runs a command in the folder's name; fails the test unless it ends with 0. @returns what it says as JSON. */
  run(...args: string[]): Promise<Record<string, unknown>>
  /** The same, however it ends. */
  tryRun(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>
}

/** Holds `oci:<folder>/plain:v1`: a layer for each compression, then one of them once more. */
export async function imageFolder(
  t: TestContext,
  compressions: readonly Compression[] = ['gzip', 'zstd', 'none'],
): Promise<ImageFolder> {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-images-'))
  t.after(() => rm(folder, { recursive: true }))
  const layers = await Promise.all(
    compressions.map(async (compression, i) => ({ tar: await randomTar(300_000 * (i + 1), `f${i}`), compression })),
  )
  const image = registryImage([...layers, ...layers.slice(0, 1)])
  await writePlainLayout(join(folder, 'plain'), image)
  const { key, recipient } = await writeKeyPair(folder, 'key')
  const tryRun = async (...args: string[]) => {
    const [stdout, stderr] = [memoryStream(), memoryStream()]
    const env = { HOME: join(folder, 'home'), PATH: process.env.PATH }
    const signal = new AbortController().signal
    const code = await runProgram(['image', ...args, '-o', 'json'], {
      stdout,
      stderr,
      stdin: Readable.from([]),
      env,
      signal,
    })
    return { code, stdout: stdout.text(), stderr: stderr.text() }
  }
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await tryRun(...args)
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout)
  }
  return { folder, key, recipient, image, digest: sha256Text(image.manifest), run, tryRun }
}

export async function writePlainLayout(folder: string, { manifest, blobs }: RegistryImage, tag = 'v1'): Promise<void> {
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true })
  for (const bytes of [manifest, ...blobs.values()]) await writeFile(blobPath(folder, sha256Text(bytes)), bytes)
  const descriptor = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: sha256Text(manifest),
    size: manifest.length,
    annotations: { 'org.opencontainers.image.ref.name': tag },
  }
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }))
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}

/** As `openssl` writes them: the private one for its owner alone. */
export async function writeKeyPair(
  folder: string,
  name: string,
  kind: 'ec' | 'rsa' = 'ec',
): Promise<{ key: string; recipient: string }> {
  const pair =
    kind === 'ec'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const [key, recipient] = [join(folder, `${name}.pem`), join(folder, `${name}.pub.pem`)]
  await writeFile(key, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  await writeFile(recipient, pair.publicKey.export({ type: 'spki', format: 'pem' }))
  return { key, recipient }
}

export const blobPath = (folder: string, digest: string) => join(folder, 'blobs', ...digest.split(':'))

/** The one manifest of a layout. */
export async function layoutManifest(folder: string) {
  const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'))
  assert.equal(index.manifests.length, 1)
  return JSON.parse(await readFile(blobPath(folder, index.manifests[0].digest), 'utf8'))
}
