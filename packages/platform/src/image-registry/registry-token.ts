/**
 * What goes into the Authorization header: a Bearer token that the registry's realm gives for a scope, or the user's name and
 * password where it asks for Basic. Spec: spec/IMAGES.md#registry, distribution's "Token Authentication" and "OAuth2".
 */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Challenge } from './challenge.ts'
import type { Credentials } from './credentials.ts'
import { type HttpAnswer, type HttpClient, quoted, registryFailed } from './registry-http.ts'

/** Tokens are some kilobytes; a header of more is refused by every server. */
const MAX_TOKEN = 16 * 1024
/** Names us to an authorization server; it has no other meaning. */
const CLIENT_ID = 'trustedpods'

export interface TokenOptions {
  readonly credentials: Credentials | undefined
  /** `repository:<name>:pull`, or with `,push`. */
  readonly scope: string
  /** The registry: names it in messages, and says whether the realm may do without TLS. */
  readonly registry: URL
  readonly signal?: AbortSignal | undefined
}

/** The header's value; undefined where there is nothing that could answer the challenge. */
export async function answerChallenge(
  http: HttpClient,
  challenge: Challenge,
  options: TokenOptions,
): Promise<string | undefined> {
  if (challenge.kind === 'bearer') return `Bearer ${await fetchToken(http, challenge, options)}`
  return options.credentials?.kind === 'password' ? basic(options.credentials) : undefined
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

type Bearer = Extract<Challenge, { kind: 'bearer' }>

async function fetchToken(http: HttpClient, challenge: Bearer, options: TokenOptions): Promise<string> {
  const realm = realmUrl(challenge.realm, options.registry)
  const { credentials } = options
  const answer =
    credentials?.kind === 'identity'
      ? await postRefreshToken(http, realm, { ...options, challenge, token: credentials.token })
      : await getToken(http, realm, { ...options, challenge, credentials })
  return readToken(answer)
}

/** Where the password goes: never over a plain connection unless the registry itself is asked so. */
function realmUrl(text: string, registry: URL): URL {
  if (!URL.canParse(text)) throw registryFailed(`${registry.host} names no address that gives tokens`)
  const url = new URL(text)
  if (url.protocol !== 'https:' && registry.protocol === 'https:')
    throw registryFailed(`${registry.host} has its tokens at ${quoted(url.origin)}, which is not https`)
  return url
}

interface TokenRequest extends Omit<TokenOptions, 'credentials'> {
  challenge: Bearer
}

function getToken(
  http: HttpClient,
  realm: URL,
  { challenge, credentials, scope, signal }: TokenRequest & { credentials: Credentials | undefined },
): Promise<HttpAnswer> {
  if (challenge.service !== undefined) realm.searchParams.set('service', challenge.service)
  realm.searchParams.set('scope', scope)
  const authorization = credentials?.kind === 'password' ? basic(credentials) : undefined
  return http(realm, { authorization, signal })
}

function postRefreshToken(
  http: HttpClient,
  realm: URL,
  { challenge, token, scope, signal }: TokenRequest & { token: string },
): Promise<HttpAnswer> {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: token,
    service: challenge.service ?? '',
    client_id: CLIENT_ID,
    scope,
  })
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  return http(realm, { method: 'POST', headers, body: form.toString(), signal })
}

async function readToken(answer: HttpAnswer): Promise<string> {
  const { url, status } = answer
  const text = await answer.text()
  if (status === 401 || status === 403) throw loginFailed(`${url.host} gives no token: ${status}`)
  if (status !== 200) throw registryFailed(`${url.host} gives no token: ${status}`)
  const token = tokenIn(text)
  if (token !== undefined) return token
  throw registryFailed(`${url.host} gives something that is no token`)
}

/** Never quoted: it may be secret. */
function tokenIn(text: string): string | undefined {
  try {
    const { token, access_token: accessToken } = JSON.parse(text) ?? {}
    const found = token || accessToken
    return typeof found === 'string' && found.length <= MAX_TOKEN && /^[\x21-\x7e]+$/.test(found) ? found : undefined
  } catch {
    // Not JSON: no token.
    return undefined
  }
}

export function loginFailed(message: string): TrustedPodsError {
  return new TrustedPodsError('PLATFORM_IMAGE_LOGIN', message)
}
