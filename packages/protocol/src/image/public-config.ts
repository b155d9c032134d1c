/**
 * The image config stays in plain text, as ocicrypt has it: what it says that needs not be public, and a config without that.
 * Spec: spec/IMAGES.md#config. Pure.
 */
import { isEnvName } from '../manifest/names.ts'
import { MAX_ARGS, MAX_ENV } from '../wire/protocols.ts'
import { asJsonObject, type JsonObject, parseJsonObject } from './json-object.ts'

/** What a program takes from its image. The names are the OCI config's. */
export interface ImageDefaults {
  readonly env: readonly string[]
  readonly entrypoint: readonly string[]
  readonly cmd: readonly string[]
  readonly workingDir: string
}

/** How much of its config an image shows to everybody: all; what a container must not take from the image; and no history nor labels either. */
export const CONFIG_PRIVACY = ['plain', 'sealed', 'stripped'] as const
export type ConfigPrivacy = (typeof CONFIG_PRIVACY)[number]

export interface PublicConfig {
  /** What is published in place of the config. */
  readonly config: Uint8Array
  /** What was taken out, and has to reach the container in the sealed manifest. */
  readonly defaults?: ImageDefaults
}

/** Words that name a secret, as a part of the name: PASSWORD, DB_PASS, API_KEY, AUTH_TOKEN, PRIVATE-KEY. */
const SECRET_NAME =
  /(^|[_.-])(pass|passwd|password|passphrase|secret|token|credentials?|(api|access|private|secret|auth|encryption|signing)[_.-]?key|pat|dsn)($|[_.-])/i
/** Values that are secrets whatever they are called: PEM keys, tokens with a well-known beginning, URLs with a password. */
const SECRET_VALUE =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----|^(ghp_|gho_|ghs_|github_pat_|glpat-|xox[bpars]-|sk_live_|rk_live_|AKIA[0-9A-Z]{16}|eyJ[\w-]+\.eyJ)|^[a-z][a-z0-9+.-]*:\/\/[^\s/:@]*:[^\s/:@]+@/i
/** Says where a secret lies, or what one looks like, and is none. */
const POINTER_NAME = /(_file|_path|_dir|_url|_id|_name|_ttl|_expiry|_policy)$/i

/** Names of environment variables in a config that look like secrets; everybody who has the CID can read them. Values are never told.
 * @throws TrustedPodsError PROVISION_IMAGE_REFUSED where it is no config. */
export function secretLooking(config: Uint8Array): string[] {
  return defaultsOf(parseJsonObject(config, 'image config'))
    .env.map((entry) => [entry.split('=', 1)[0] ?? '', entry.slice(entry.indexOf('=') + 1)] as const)
    .filter(([name, value]) => value !== '' && isSecret(name, value))
    .map(([name]) => name)
}

function isSecret(name: string, value: string): boolean {
  return SECRET_VALUE.test(value) || (SECRET_NAME.test(name) && !POINTER_NAME.test(name))
}

const SEALED_KEYS = ['Env', 'Entrypoint', 'Cmd', 'WorkingDir']
const STRIPPED_CONFIG_KEYS = ['Labels', 'Hostname', 'Domainname', 'Image', 'OnBuild']
const STRIPPED_KEYS = [
  'history',
  'author',
  'created',
  'container',
  'container_config',
  'docker_version',
  'comment',
  'parent',
  'id',
]

/** Without environment and command, which travel in the manifest; what is left is what an engine needs to unpack and to run as the right user.
 * An image whose environment the manifest cannot express keeps its config. @throws TrustedPodsError PROVISION_IMAGE_REFUSED. */
export function toPublicConfig(bytes: Uint8Array, privacy: ConfigPrivacy): PublicConfig {
  const image = parseJsonObject(bytes, 'image config')
  const defaults = defaultsOf(image)
  if (privacy === 'plain' || !isExpressible(image, defaults)) return { config: bytes }
  const isStripped = privacy === 'stripped'
  const config = without(configOf(image), [...SEALED_KEYS, ...(isStripped ? STRIPPED_CONFIG_KEYS : [])])
  const kept = without(image, isStripped ? STRIPPED_KEYS : [])
  return { config: new TextEncoder().encode(JSON.stringify({ ...kept, config })), defaults }
}

/** Without labels, history and what else engines leave in it; environment and command stay, as there is no manifest to take them.
 * @throws TrustedPodsError PROVISION_IMAGE_REFUSED where it is no config. */
export function stripConfig(bytes: Uint8Array): Uint8Array {
  const image = parseJsonObject(bytes, 'image config')
  const config = without(configOf(image), STRIPPED_CONFIG_KEYS)
  return new TextEncoder().encode(JSON.stringify({ ...without(image, STRIPPED_KEYS), config }))
}

/** Whether a container of the manifest can say the same. */
function isExpressible(image: JsonObject, { env, entrypoint, cmd, workingDir }: ImageDefaults): boolean {
  const { Env, Entrypoint, Cmd } = configOf(image)
  const isWhole =
    lengthOf(Env) === env.length && lengthOf(Entrypoint) === entrypoint.length && lengthOf(Cmd) === cmd.length
  const isNamed = env.every((entry) => isEnvName(entry.split('=', 1)[0] ?? '') && entry.includes('='))
  const isShort = env.length <= MAX_ENV && entrypoint.length <= MAX_ARGS && cmd.length <= MAX_ARGS
  const texts = [...env, ...entrypoint, ...cmd, workingDir]
  return (
    isWhole &&
    isNamed &&
    isShort &&
    (workingDir === '' || workingDir.startsWith('/')) &&
    texts.every((text) => !text.includes('\0'))
  )
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0
}

function without(object: JsonObject, keys: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)))
}

function defaultsOf(image: JsonObject): ImageDefaults {
  const { Env, Entrypoint, Cmd, WorkingDir } = configOf(image)
  return {
    env: textsOf(Env),
    entrypoint: textsOf(Entrypoint),
    cmd: textsOf(Cmd),
    workingDir: typeof WorkingDir === 'string' ? WorkingDir : '',
  }
}

function configOf({ config }: JsonObject): JsonObject {
  return config === undefined || config === null ? {} : asJsonObject(config, 'config.config')
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}
