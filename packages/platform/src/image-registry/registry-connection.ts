/**
 * One repository of one registry, authorised: which scheme its host speaks, who the user is there, a token for the scope,
 * renewed once when it has run out. Spec: spec/IMAGES.md#registry.
 */
import { parseChallenge } from './challenge.ts'
import { type CredentialOptions, findCredentials } from './credential-store.ts'
import type { Credentials } from './credentials.ts'
import {
  createHttpClient,
  type HttpAnswer,
  type HttpClient,
  type HttpRequest,
  quoted,
  registryFailed,
} from './registry-http.ts'
import type { RegistryName } from './registry-name.ts'
import { answerChallenge, loginFailed } from './registry-token.ts'

export interface RegistryOptions extends CredentialOptions {
  /** Hosts that are asked without TLS, beside this machine's own: `host` or `host:port`. */
  readonly plainHttp?: readonly string[]
  /** Longest time without a byte; default 30 s. */
  readonly silenceMs?: number
}

export type Access = 'pull' | 'pull,push'

/** Sends a request for a path below the repository, or for an address that an upload has named. */
export type RegistryConnection = (
  target: string | URL,
  request?: Omit<HttpRequest, 'authorization'>,
) => Promise<HttpAnswer>

export async function connectRegistry(
  name: RegistryName,
  access: Access,
  options: RegistryOptions,
): Promise<RegistryConnection> {
  const plainHosts = options.plainHttp ?? []
  const allowsPlain = (url: URL) =>
    isLoopback(url) || plainHosts.includes(url.host) || plainHosts.includes(url.hostname)
  const { silenceMs } = options
  const http = createHttpClient({ allowsPlain, ...(silenceMs !== undefined && { silenceMs }) })
  const registry = await findRegistry(http, name.host, { allowsPlain, signal: options.signal })
  const base = new URL(`/v2/${name.repository}/`, registry)
  const scope = `repository:${name.repository}:${access}`
  const authorization = new Authorization(http, { name, registry, scope, options })
  return (target, request = {}) => authorization.send(target instanceof URL ? target : new URL(target, base), request)
}

/** https, unless the host may be plain and does not speak TLS. */
async function findRegistry(
  http: HttpClient,
  host: string,
  { allowsPlain, signal }: { allowsPlain: (url: URL) => boolean; signal: AbortSignal | undefined },
): Promise<URL> {
  const [secure, plain] = [new URL(`https://${host}`), new URL(`http://${host}`)]
  if (!allowsPlain(plain)) return secure
  try {
    await (await http(new URL('/v2/', secure), { signal })).cancel()
    return secure
  } catch {
    // No TLS there; what the plain attempt then says is what the user is told.
    signal?.throwIfAborted()
    return plain
  }
}

export function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

interface AuthorizationParts {
  readonly name: RegistryName
  readonly registry: URL
  readonly scope: string
  readonly options: RegistryOptions
}

class Authorization {
  readonly #http: HttpClient
  readonly #parts: AuthorizationParts
  #header: string | undefined
  #credentials: Promise<Credentials | undefined> | undefined

  constructor(http: HttpClient, parts: AuthorizationParts) {
    this.#http = http
    this.#parts = parts
  }

  /** A token may have run out: one challenge is answered for each request, a second is a refusal. */
  async send(url: URL, request: HttpRequest): Promise<HttpAnswer> {
    const answer = await this.#sendOnce(url, request)
    if (answer.status !== 401 || !this.#isRegistry(url)) return answer
    const challenge = parseChallenge(answer.headers.get('www-authenticate') ?? '')
    await answer.cancel()
    if (!challenge) throw registryFailed(`${url.host} answers 401 and does not say what it wants`)
    const credentials = await this.#findCredentials()
    this.#header = await answerChallenge(this.#http, challenge, { ...this.#parts, credentials, signal: request.signal })
    const again = await this.#sendOnce(url, request)
    if (again.status !== 401) return again
    await again.cancel()
    throw this.#refused(credentials)
  }

  #sendOnce(url: URL, request: HttpRequest): Promise<HttpAnswer> {
    return this.#http(url, { ...request, authorization: this.#isRegistry(url) ? this.#header : undefined })
  }

  #isRegistry({ origin }: URL): boolean {
    return origin === this.#parts.registry.origin
  }

  #findCredentials(): Promise<Credentials | undefined> {
    const { name, options } = this.#parts
    this.#credentials ??= findCredentials(name.credentialHosts, options)
    return this.#credentials
  }

  #refused(credentials: Credentials | undefined) {
    const { name } = this.#parts
    return loginFailed(
      credentials
        ? `${name.host} refuses the credentials for ${name.repository}`
        : `${name.host} wants a login for ${name.repository}, and there are no credentials for it`,
    )
  }
}

/** An answer that is none of those that were wanted, with the registry's own words. */
export async function unexpected(what: string, answer: HttpAnswer) {
  const said = quoted(await answer.text().catch(() => ''))
  if (answer.status === 401 || answer.status === 403)
    return loginFailed(`${what}: ${answer.url.host} refuses with ${answer.status} ${said}`)
  return registryFailed(`${what}: ${answer.url.host} answers ${answer.status} ${said}`)
}
