/** What a registry wants to see before it answers: the WWW-Authenticate header. RFC 9110 §11.6.1, distribution's token spec. Pure. */

export type Challenge =
  | { readonly kind: 'basic' }
  | { readonly kind: 'bearer'; readonly realm: string; readonly service?: string; readonly scope?: string }

/** A registry's header has a few hundred characters. */
const MAX_HEADER = 4096

/** undefined where it holds neither a Bearer challenge with a realm nor a Basic one. */
export function parseChallenge(header: string): Challenge | undefined {
  if (header.length > MAX_HEADER) return undefined
  const schemes = [...header.matchAll(/(?:^|,)\s*(basic|bearer)(?:\s+|$)/gi)]
  const starts = schemes.map(({ index }) => index)
  const bearer = schemes.findIndex((match) => match[1]?.toLowerCase() === 'bearer')
  if (bearer >= 0) {
    const { realm, service, scope } = parseParameters(header.slice(starts[bearer], starts[bearer + 1]))
    if (realm) return { kind: 'bearer', realm, ...(service && { service }), ...(scope && { scope }) }
  }
  return schemes.length > (bearer >= 0 ? 1 : 0) ? { kind: 'basic' } : undefined
}

function parseParameters(text: string): Record<string, string> {
  const pairs = text.matchAll(/([a-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/gi)
  return Object.fromEntries(
    [...pairs].map(([, name = '', quoted, bare]) => [
      name.toLowerCase(),
      quoted === undefined ? (bare ?? '') : quoted.replaceAll(/\\(.)/g, '$1'),
    ]),
  )
}
