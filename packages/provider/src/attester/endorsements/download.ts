/** One GET of a document with bounds: time, size, kind of answer. Every failure says whether and when to come again. */
import { TrustedPodsError, toTrustedPodsError } from '@trusted-pods/protocol/errors.ts'

export interface Download {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly headers: Headers
}

export interface DownloadOptions {
  readonly maxBytes: number
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** A failure of the other side, which may say when to come again. */
export class DownloadError extends TrustedPodsError {
  readonly retryAfterMs: number | undefined

  constructor(message: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super('ATTEST_UNAVAILABLE', message, options.cause === undefined ? {} : { cause: options.cause })
    this.retryAfterMs = options.retryAfterMs
  }
}

/** @throws DownloadError, also where the body is longer than allowed, cut off, or a page for people. */
export async function download(url: string, options: DownloadOptions): Promise<Download> {
  const signals = [AbortSignal.timeout(options.timeoutMs), ...(options.signal ? [options.signal] : [])]
  try {
    const response = await fetch(url, { signal: AbortSignal.any(signals), redirect: 'error' })
    if (!response.ok) throw await refusal(url, response)
    const type = response.headers.get('content-type') ?? ''
    if (/html/i.test(type)) throw await drop(response, `${url} answers with ${type}`)
    const bytes = await readBounded(response, url, options.maxBytes)
    return { bytes, headers: response.headers }
  } catch (error) {
    if (error instanceof DownloadError) throw error
    throw new DownloadError(`${url}: ${toTrustedPodsError(error, 'ATTEST_UNAVAILABLE').message}`, { cause: error })
  }
}

async function refusal(url: string, response: Response): Promise<DownloadError> {
  const retryAfterMs = readRetryAfter(response.headers.get('retry-after'))
  await drop(response, '')
  return new DownloadError(`${url} answers with ${response.status}`, retryAfterMs === undefined ? {} : { retryAfterMs })
}

/** Lets the connection go. */
async function drop(response: Response, message: string): Promise<DownloadError> {
  await response.body?.cancel()
  return new DownloadError(message)
}

async function readBounded(response: Response, url: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > maxBytes) throw new DownloadError(`${url} answers with more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}

/** Seconds, or a date. RFC 9110 §10.2.3. */
function readRetryAfter(text: string | null): number | undefined {
  if (text === null) return undefined
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now())
}
