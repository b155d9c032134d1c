/**
 * The provider's way to its chain, which may not be there: connected once an endpoint answers, and until then "not known" for
 * everybody who asks. Pods that run need none: they are adopted, served, metered and stopped without. Spec: spec/PAYMENT.md#provider.
 */
import { type Chain, type ChainConfig, type ConnectOptions, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { pause } from '@trusted-pods/protocol/pause.ts'

export interface ChainLink {
  /** @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE while there is no chain, CHANNEL_WRONG_CHAIN while it is another one. */
  require(): Chain
}

export interface OpenLink extends ChainLink, AsyncDisposable {
  /** The chain once it is there; never settles when the link is closed before. */
  readonly connected: Promise<Chain>
  readonly isConnected: boolean
}

export interface LinkOptions extends ConnectOptions {
  readonly log: Logger
  readonly retryMs?: number
}

/** Often enough that publishers hardly notice, seldom enough that an endpoint that limits requests is left alone. */
const RETRY_MS = 5_000

/** Long enough for an endpoint that is well; the first start with a wrong chain is told in this time too. */
const FIRST_TRY_MS = 3_000

/** A chain that is there already. */
export function linkTo(chain: Chain): ChainLink {
  return { require: () => chain }
}

/**
 * Tries once before it returns, for a few seconds, and then again and again.
 * @throws TrustedPodsError CHANNEL_WRONG_CHAIN when `mayWait` does not say that pods depend on this provider all the same.
 */
export async function openChainLink(
  config: ChainConfig,
  { log, retryMs = RETRY_MS, signal: outer, ...options }: LinkOptions,
  { mayWait }: { mayWait: boolean },
): Promise<OpenLink> {
  const stop = new AbortController()
  const signal = outer ? AbortSignal.any([stop.signal, outer]) : stop.signal
  const { promise: connected, resolve } = Promise.withResolvers<Chain>()
  let state: Chain | TrustedPodsError = notYet()
  const attempt = async () => {
    state = await tryConnect(config, { ...options, signal })
    if (state instanceof TrustedPodsError)
      log.warn('no chain yet: no quotes, no new pods, no claims', { code: state.code, reason: state.message })
    else resolve(state)
  }
  const first = attempt()
  // An endpoint that hangs must not keep pods from their routes.
  await Promise.race([first, pause(FIRST_TRY_MS, signal)])
  // Somebody set up the wrong chain, and nothing runs that would suffer from saying so.
  if (state instanceof TrustedPodsError && state.code !== 'CHANNEL_RPC_UNAVAILABLE' && !mayWait) throw state
  const trying = (async () => {
    await first
    while (state instanceof TrustedPodsError && !signal.aborted) {
      await pause(retryMs, signal)
      if (!signal.aborted) await attempt()
    }
    if (!signal.aborted) log.info('connected to the chain', { chain: config.chainId })
  })()
  return {
    connected,
    get isConnected() {
      return !(state instanceof TrustedPodsError)
    },
    require() {
      if (state instanceof TrustedPodsError) throw new TrustedPodsError(state.code, state.message, { cause: state })
      return state
    },
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the provider is stopping'))
      await trying
    },
  }
}

async function tryConnect(config: ChainConfig, options: ConnectOptions): Promise<Chain | TrustedPodsError> {
  try {
    return await connectChain(config, options)
  } catch (error) {
    if (error instanceof TrustedPodsError) return error
    if (options.signal?.aborted) return notYet()
    throw error
  }
}

function notYet(): TrustedPodsError {
  return new TrustedPodsError('CHANNEL_RPC_UNAVAILABLE', 'the chain was not reached yet')
}
