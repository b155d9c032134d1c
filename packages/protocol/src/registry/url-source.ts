/** Providers from a file of signed records at a URL: a fleet's own list, or a mirror. Spec: spec/REGISTRY.md#file. */
import { TrustedPodsError } from '../errors.ts'
import { readBounded } from './bounded-body.ts'
import { type FileSourceOptions, fileSource } from './file-source.ts'
import { MAX_RECORD_BYTES } from './record.ts'
import type { ReadOptions, RegistrySource } from './source.ts'

/** Ten thousand records of the longest kind and their lengths: no list is longer. */
const MAX_FILE_BYTES = 10_000 * (MAX_RECORD_BYTES + 2)
/** 60 s: 40 MB at 5.5 Mbit/s. */
const FETCH_TIMEOUT_MS = 60_000

/** Fetched anew with every reading.
 * @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE, while it is read, when the list cannot be fetched whole. */
export function urlSource(url: string, options: FileSourceOptions): RegistrySource {
  return {
    async *providers({ signal }: ReadOptions = {}) {
      yield* fileSource(await download(url, signal), options).providers({ signal })
    },
  }
}

async function download(url: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const timeout = AbortSignal.timeout(FETCH_TIMEOUT_MS)
  // Paths and user parts of URLs often hold a key.
  const { host } = new URL(url)
  try {
    const response = await fetch(url, { signal: signal ? AbortSignal.any([timeout, signal]) : timeout })
    if (!response.ok || response.body === null) throw unavailable(host, `it answers with status ${response.status}`)
    const bytes = await readBounded(response.body, MAX_FILE_BYTES)
    if (bytes === undefined) throw unavailable(host, `it is longer than ${MAX_FILE_BYTES} bytes`)
    return bytes
  } catch (cause) {
    signal?.throwIfAborted()
    if (cause instanceof TrustedPodsError) throw cause
    throw unavailable(host, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

function unavailable(host: string, reason: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('CHANNEL_RPC_UNAVAILABLE', `the list of providers at ${host} cannot be read: ${reason}`, {
    cause,
  })
}
