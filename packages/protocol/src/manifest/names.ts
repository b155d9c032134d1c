/** What names, addresses and paths may look like: the same rules for the file and the wire. Spec: spec/MANIFEST.md#names.
 * Pure. */
import { parseImagePlace } from '../image/image-place.ts'

/** RFC 1123 label, as Kubernetes takes it. */
export function isDnsLabel(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)
}
export const DNS_LABEL = '1 to 63 of a-z, 0-9 and -, with no - at either end'

/** Lower-case host name of the DNS; an IP address is none. */
export function isHostName(text: string): boolean {
  const labels = text.split('.')
  return text.length <= 253 && labels.every(isDnsLabel) && !/^\d+$/.test(labels.at(-1) ?? '')
}
export const HOST_NAME = 'a lower-case host name such as hello.example.org'

/** As Kubernetes takes them: a C identifier with dots and dashes. */
export function isEnvName(text: string): boolean {
  return /^[A-Za-z_.-][\w.-]{0,255}$/.test(text)
}
export const ENV_NAME = 'letters, digits, _, . and -, no digit first, at most 256'

/** A place that holds an image: a name as engines and registries take it, or one with an explicit scheme. */
export function isImageName(text: string): boolean {
  return parseImagePlace(text) !== undefined
}
export const IMAGE_NAME =
  'the name of an image such as docker.io/library/nginx:1.29 (lower case, no spaces), or docker-daemon:NAME, docker://NAME, oci:FOLDER, oci-archive:FILE, docker-archive:FILE, ipfs:CID'

export function isIpAddress(text: string): boolean {
  return isIpv4(text) || isIpv6(text)
}
export const IP_ADDRESS = 'an IPv4 or IPv6 address'

function isIpv4(text: string): boolean {
  const parts = text.split('.')
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
}

/** The platform's own parser of bracketed hosts decides. */
function isIpv6(text: string): boolean {
  return /^[0-9a-fA-F:.]{2,45}$/.test(text) && text.includes(':') && URL.canParse(`http://[${text}]/`)
}

/** Model or class of a resource: printable ASCII, no blank at either end. */
export function isSelector(text: string): boolean {
  return /^[!-~]([ -~]{0,62}[!-~])?$/.test(text)
}
export const SELECTOR = '1 to 64 printable ASCII characters'

/** Linux takes no longer single argument or NAME=value (MAX_ARG_STRLEN, 128 KiB with its end). */
export const MAX_TEXT_BYTES = 128 * 1024 - 1

/** Why a program cannot be given this text, or undefined. The text itself is never part of the answer: it may be secret. */
export function whyBadText(text: string): string | undefined {
  if (text.includes('\0')) return 'holds a NUL character'
  if (!text.isWellFormed()) return 'holds half of a surrogate pair'
  const bytes = text.length * 3 <= MAX_TEXT_BYTES ? 0 : new TextEncoder().encode(text).length
  return bytes > MAX_TEXT_BYTES ? `is ${bytes} bytes long, at most ${MAX_TEXT_BYTES} are taken` : undefined
}

const MAX_PATH_BYTES = 1024

/** Why this is no absolute path in its shortest form, or undefined. */
export function whyBadPath(path: string): string | undefined {
  if (!path.startsWith('/')) return 'is not absolute'
  if (new TextEncoder().encode(path).length > MAX_PATH_BYTES) return `is longer than ${MAX_PATH_BYTES} bytes`
  if (hasControl(path) || !path.isWellFormed()) return 'holds a control character'
  if (path === '/') return undefined
  const segments = path.slice(1).split('/')
  if (segments.includes('..')) return 'holds ..'
  return segments.includes('') || segments.includes('.') ? 'holds an empty or . segment' : undefined
}

/** Why no volume can stand at this path, or undefined. */
export function whyBadMountPath(path: string): string | undefined {
  const bad = whyBadPath(path)
  if (bad !== undefined) return bad
  if (path === '/') return 'is the root'
  if (/[:,]/.test(path)) return 'holds : or ,'
  const system = ['/proc', '/sys', '/dev'].find((top) => path === top || path.startsWith(`${top}/`))
  return system === undefined || path === '/dev/shm' ? undefined : `lies in ${system}, which belongs to the system`
}

/** Doubled and final slashes and . segments removed; what else is wrong stays. */
export function shortestPath(path: string): string {
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.')
  return path.startsWith('/') ? `/${segments.join('/')}` : path
}

/** Control characters of C0, DEL and C1. */
export function hasControl(text: string): boolean {
  return /\p{Cc}/u.test(text)
}

/** `wanted` as a DNS label that is not in `taken`, with -2, -3, … where it is. */
export function uniqueLabel(
  wanted: string,
  taken: ReadonlySet<string>,
  options: { readonly fallback: string },
): string {
  const label = wanted
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '')
  const base = label === '' ? options.fallback : label
  for (let count = 1; ; count++) {
    const suffix = count === 1 ? '' : `-${count}`
    const name = base.slice(0, 63 - suffix.length).replace(/-+$/, '') + suffix
    if (!taken.has(name)) return name
  }
}
