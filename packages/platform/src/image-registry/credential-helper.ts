/** One exchange with a Docker credential helper: `docker-credential-<name> get`, the host on stdin, JSON on stdout. I/O.
 * Source: github.com/docker/docker-credential-helpers. */
import { spawn } from 'node:child_process'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Credentials } from './credentials.ts'

/** 60 s: a keychain may ask its owner for a password. */
const TIMEOUT_MS = 60_000
const MAX_ANSWER_BYTES = 64 * 1024
/** What helpers say, with success missing, when they have nothing. */
const NOTHING = /credentials not found/i
/** Username that says: the secret is an identity token. */
const TOKEN_USER = '<token>'

export interface HelperOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal | undefined
}

/** undefined where the helper knows nothing of the host. @throws TrustedPodsError PLATFORM_IMAGE_LOGIN where it fails; its words are not told, they may be secret. */
export async function askHelper(name: string, host: string, options: HelperOptions): Promise<Credentials | undefined> {
  if (!/^[\w.-]{1,64}$/.test(name)) throw failed(name, 'its name is not that of a program')
  const { code, stdout } = await runHelper(`docker-credential-${name}`, host, options)
  if (code !== 0 && NOTHING.test(stdout)) return undefined
  if (code !== 0) throw failed(name, `it ended with ${code}`)
  return parseAnswer(name, stdout)
}

function parseAnswer(name: string, stdout: string): Credentials {
  let answer: { Username?: unknown; Secret?: unknown }
  try {
    answer = JSON.parse(stdout)
  } catch {
    throw failed(name, 'its answer is not JSON')
  }
  const { Username: username, Secret: secret } = answer ?? {}
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw failed(name, 'its answer lacks Username or Secret')
  return username === TOKEN_USER
    ? { kind: 'identity', token: secret }
    : { kind: 'password', username, password: secret }
}

async function runHelper(
  program: string,
  host: string,
  { env, signal }: HelperOptions,
): Promise<{ code: number; stdout: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ code: number; stdout: string }>()
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  const child = spawn(program, ['get'], {
    env: { ...env },
    stdio: ['pipe', 'pipe', 'ignore'],
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  })
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    stdout += part
    if (stdout.length <= MAX_ANSWER_BYTES) return
    // Its own children may hold the pipe open for ever.
    child.stdout.destroy()
    child.kill()
    reject(failed(program, `its answer has over ${MAX_ANSWER_BYTES} characters`))
  })
  child.once('error', (cause) => reject(signal?.aborted ? signal.reason : failed(program, cause.message, cause)))
  child.once('close', (code) => resolve({ code: code ?? -1, stdout }))
  // A helper that ends before it has read tells by its status.
  child.stdin.on('error', () => {})
  child.stdin.end(host)
  return promise
}

function failed(name: string, reason: string, cause?: unknown): TrustedPodsError {
  const message = `the credential helper ${name} gives no credentials: ${reason}`
  return new TrustedPodsError('PLATFORM_IMAGE_LOGIN', message, cause === undefined ? {} : { cause })
}
