/** The manifest of a command: its text, its path, and the secret files that it names. */
import { readFile } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { hasCode } from '@trusted-pods/platform/error-code.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Manifest } from '@trusted-pods/protocol/manifest/manifest.ts'
import { type CheckedManifest, checkManifest, parseManifest } from '@trusted-pods/protocol/manifest/parse.ts'
import { formatProblem } from '@trusted-pods/protocol/manifest/problem.ts'

/** Taken when no other is named. */
export const DEFAULT_MANIFEST = 'trustedpods.yml'

export interface ManifestFile {
  readonly path: string
  readonly manifest: Manifest
  /** One line each. */
  readonly warnings: readonly string[]
  /** What the lease is called: the folder that the manifest lies in. */
  readonly name: string
}

/** @throws TrustedPodsError MANIFEST_UNREADABLE, MANIFEST_SYNTAX, MANIFEST_INVALID. */
export async function readManifest(path = DEFAULT_MANIFEST): Promise<ManifestFile> {
  const text = await readText(path)
  const { manifest, problems } = checkManifest(text, { file: path })
  const name = basename(dirname(resolve(path))) || 'pod'
  return {
    path,
    manifest: manifest ?? parseManifest(text, { file: path }),
    warnings: problems.map(formatProblem),
    name,
  }
}

/** All problems of a manifest. @throws TrustedPodsError MANIFEST_UNREADABLE */
export async function inspectManifest(path = DEFAULT_MANIFEST): Promise<CheckedManifest & { path: string }> {
  return { path, ...checkManifest(await readText(path), { file: path }) }
}

/** The contents of the secret files, by the `source` that names them; relative ones lie beside the manifest. */
export async function readSecrets({ path, manifest }: ManifestFile): Promise<ReadonlyMap<string, Uint8Array>> {
  const secrets = new Map<string, Uint8Array>()
  for (const volume of manifest.volumes) {
    if (volume.kind !== 'secret' || volume.content.kind !== 'source') continue
    const { source } = volume.content
    secrets.set(source, await readSecret(resolve(dirname(path), source), volume.name))
  }
  return secrets
}

async function readSecret(path: string, volume: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw new TrustedPodsError('MANIFEST_UNREADABLE', `the file of secret ${volume} cannot be read: ${path}`, { cause })
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const isMissing = hasCode(cause, 'ENOENT')
    throw new TrustedPodsError('MANIFEST_UNREADABLE', `${path} ${isMissing ? 'does not exist' : 'cannot be read'}`, {
      cause,
    })
  }
}
