/** Connects to the chain, waiting for as long as no endpoint answers: pods that run go on meanwhile. */
import { type Chain, type ChainConfig, type ConnectOptions, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { pause } from './pause.ts'

const RETRY_MS = 5_000

/** @throws TrustedPodsError CHANNEL_WRONG_CHAIN: an endpoint is on another chain, or the contracts are not there. */
export async function awaitChain(
  config: ChainConfig,
  { log, signal, ...options }: ConnectOptions & { log: Logger; signal: AbortSignal },
): Promise<Chain> {
  for (;;) {
    try {
      return await connectChain(config, { ...options, signal })
    } catch (error) {
      if (!(error instanceof TrustedPodsError) || error.code !== 'CHANNEL_RPC_UNAVAILABLE') throw error
      log.warn('waiting for the chain', { reason: error.message })
      await pause(RETRY_MS, signal)
      signal.throwIfAborted()
    }
  }
}
