/**
 * Where an image lies, as `image:` in a manifest and the image commands name it: skopeo's names for places, and `ipfs:` of
 * ours. Spec: spec/IMAGES.md#places. Pure.
 */
import { CID } from 'multiformats/cid'
import { parseImageReference } from './image-reference.ts'

export type ImagePlace =
  /** A name without a scheme: the engine's image, else the registry's. */
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'docker-daemon'; readonly name: string }
  | { readonly kind: 'docker'; readonly name: string }
  | { readonly kind: 'oci'; readonly path: string; readonly tag?: string }
  | { readonly kind: 'oci-archive'; readonly path: string; readonly tag?: string }
  | { readonly kind: 'docker-archive'; readonly path: string; readonly name?: string }
  | { readonly kind: 'ipfs'; readonly cid: CID }

/** What can be written where a place is wanted, for messages. */
export const IMAGE_PLACES =
  'NAME, docker-daemon:NAME, docker://NAME, oci:FOLDER[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] or ipfs:CID'

const SCHEME = /^(docker-daemon:|docker:\/\/|oci:|oci-archive:|docker-archive:|ipfs:(?:\/\/)?)/

/** undefined where the text names no place. */
export function parseImagePlace(text: string): ImagePlace | undefined {
  const scheme = SCHEME.exec(text)?.[0]
  const rest = text.slice(scheme?.length ?? 0)
  switch (scheme) {
    case undefined:
      return parseImageReference(rest) && { kind: 'name', name: rest }
    case 'docker-daemon:':
      return parseImageReference(rest) && { kind: 'docker-daemon', name: rest }
    case 'docker://':
      return parseImageReference(rest) && { kind: 'docker', name: rest }
    case 'oci:':
      return parseFilePlace(rest, 'oci')
    case 'oci-archive:':
      return parseFilePlace(rest, 'oci-archive')
    case 'docker-archive:':
      return parseDockerArchive(rest)
    default:
      return parseCidPlace(rest)
  }
}

/** As skopeo has it: the path ends at the first colon. */
function splitPath(text: string): { path: string; rest?: string } | undefined {
  const at = text.indexOf(':')
  const [path, rest] = at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
  if (path === '' || rest === '' || /\p{Cc}/u.test(text) || !text.isWellFormed()) return undefined
  return rest === undefined ? { path } : { path, rest }
}

function parseFilePlace(text: string, kind: 'oci' | 'oci-archive'): ImagePlace | undefined {
  const split = splitPath(text)
  return split && { kind, path: split.path, ...(split.rest !== undefined && { tag: split.rest }) }
}

function parseDockerArchive(text: string): ImagePlace | undefined {
  const split = splitPath(text)
  if (!split || (split.rest !== undefined && !parseImageReference(split.rest))) return undefined
  return { kind: 'docker-archive', path: split.path, ...(split.rest !== undefined && { name: split.rest }) }
}

function parseCidPlace(text: string): ImagePlace | undefined {
  try {
    const cid = CID.parse(text)
    return cid.version === 1 ? { kind: 'ipfs', cid } : undefined
  } catch {
    // Not a CID: the caller says what was wanted.
    return undefined
  }
}
