/**
 * Names of images as engines and registries take them: host, lower-case path, tag, digest. Grammar: distribution/reference.
 * Spec: spec/IMAGES.md#places. Pure.
 */
import { isDigestText } from './digest.ts'

export interface ImageReference {
  /** Host and port of the registry; absent: the name says none, and everybody takes Docker Hub. */
  readonly host?: string
  /** Path below the host, without tag and digest. */
  readonly repository: string
  readonly tag?: string
  /** sha256:<hex>: what the name stands for whatever the tag says. */
  readonly digest?: string
}

/** undefined where the text is no such name. */
export function parseImageReference(text: string): ImageReference | undefined {
  const [name = '', digest, ...more] = text.split('@')
  if (more.length > 0 || (digest !== undefined && !isDigestText(digest))) return undefined
  const parts = name.split('/')
  const [last = '', tag, ...rest] = (parts.pop() ?? '').split(':')
  if (rest.length > 0 || (tag !== undefined && !/^\w[\w.-]{0,127}$/.test(tag))) return undefined
  const host = hostOf(parts)
  const path = [...parts.slice(host === undefined ? 0 : 1), last]
  if ((host !== undefined && !isRegistryHost(host)) || !path.every(isPathComponent)) return undefined
  return {
    ...(host !== undefined && { host }),
    repository: path.join('/'),
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  }
}

/** The whole name that engines mean by a short one: docker.io/library/nginx:latest. undefined where the text is no name. */
export function fullImageName(text: string): string | undefined {
  const parsed = parseImageReference(text)
  if (!parsed) return undefined
  const { host = 'docker.io', repository, tag = 'latest', digest } = parsed
  const path = host === 'docker.io' && !repository.includes('/') ? `library/${repository}` : repository
  return `${host}/${path}${digest === undefined ? `:${tag}` : `@${digest}`}`
}

/** The first part is a host where it looks like none of a path: distribution/reference does the same. */
function hostOf([first = '', ...others]: readonly string[]): string | undefined {
  return first === 'localhost' || /[.:]/.test(first) || (first === '' && others.length > 0) ? first : undefined
}

function isRegistryHost(text: string): boolean {
  return /^[A-Za-z0-9.-]{1,253}(:\d{1,5})?$/.test(text)
}

function isPathComponent(text: string): boolean {
  return /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/.test(text)
}
