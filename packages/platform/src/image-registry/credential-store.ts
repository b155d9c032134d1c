/**
 * The credentials that the user has for registries, where `docker login`, `podman login` and `skopeo login` keep them. Read
 * only; a credential helper is asked where one is named. Spec: spec/IMAGES.md#credentials.
 */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { askHelper } from './credential-helper.ts'
import type { Credentials } from './credentials.ts'

export interface CredentialOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal | undefined
}

type Section = Readonly<Record<string, unknown>>

/** 1 MiB: a file of credentials has a few kilobytes. */
const MAX_FILE_BYTES = 1024 * 1024

/** The first that any file has for one of the hosts; undefined: none. @throws TrustedPodsError PLATFORM_IMAGE_LOGIN for a broken file. */
export async function findCredentials(
  hosts: readonly string[],
  options: CredentialOptions,
): Promise<Credentials | undefined> {
  for (const path of credentialFiles(options.env)) {
    const file = await readJson(path)
    if (!file) continue
    for (const host of hosts) {
      const found = (await fromHelper(file, host, options)) ?? fromAuths(asSection(file.auths), host, path)
      if (found) return found
    }
  }
  return undefined
}

/** Docker's, then those of Podman, Buildah and skopeo; the file that REGISTRY_AUTH_FILE names goes first. */
function credentialFiles(env: CredentialOptions['env']): string[] {
  const home = env.HOME || homedir()
  const docker = join(env.DOCKER_CONFIG || join(home, '.docker'), 'config.json')
  const runtime = env.XDG_RUNTIME_DIR ? [join(env.XDG_RUNTIME_DIR, 'containers', 'auth.json')] : []
  const config = join(env.XDG_CONFIG_HOME || join(home, '.config'), 'containers', 'auth.json')
  return [...(env.REGISTRY_AUTH_FILE ? [env.REGISTRY_AUTH_FILE] : []), docker, ...runtime, config]
}

async function readJson(path: string): Promise<Section | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch {
    // Most people have one of the files, or none.
    return undefined
  }
  try {
    if (text.length <= MAX_FILE_BYTES) return asSection(JSON.parse(text))
  } catch {
    // The parser's message quotes the text, which holds passwords.
  }
  throw new TrustedPodsError('PLATFORM_IMAGE_LOGIN', `${path} is not JSON of at most ${MAX_FILE_BYTES} bytes`)
}

async function fromHelper(file: Section, host: string, options: CredentialOptions): Promise<Credentials | undefined> {
  const helper = asSection(file.credHelpers)[host] ?? file.credsStore
  return typeof helper === 'string' && helper !== '' ? askHelper(helper, host, options) : undefined
}

/** Keys may be written as URLs. */
function fromAuths(auths: Section, host: string, path: string): Credentials | undefined {
  const key = Object.keys(auths).find((each) => each === host || hostOfKey(each) === host)
  return key === undefined ? undefined : parseEntry(asSection(auths[key]), `${path} for ${host}`)
}

function hostOfKey(key: string): string {
  return key.replace(/^https?:\/\//, '').replace(/\/(v[12]\/?)?$/, '')
}

function parseEntry(entry: Section, where: string): Credentials | undefined {
  const { auth, username, password, identitytoken } = entry
  if (typeof identitytoken === 'string' && identitytoken !== '') return { kind: 'identity', token: identitytoken }
  if (typeof username === 'string' && typeof password === 'string' && username !== '')
    return { kind: 'password', username, password }
  if (typeof auth !== 'string' || auth === '') return undefined
  const text = Buffer.from(auth, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon > 0)
    return { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') }
  throw new TrustedPodsError('PLATFORM_IMAGE_LOGIN', `auth in ${where} is not base64 of user:password`)
}

function asSection(value: unknown): Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Section) : {}
}
