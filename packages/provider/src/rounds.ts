/** What the provider does again and again: count time, look at pods and channels, settle what is left. Level-triggered: a round
 * that was missed or failed is made good by the next. */
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Charger } from './charger.ts'
import type { Journal } from './journal.ts'
import type { PodKeeper } from './pod-keeper.ts'
import type { PodRuntime } from './runtime/pod-runtime.ts'

export interface RoundParts {
  readonly journal: Journal
  readonly runtime: PodRuntime
  readonly keeper: PodKeeper
  readonly charger: Charger
  readonly log: Logger
}

export interface RoundOptions {
  /** Between receipts of a running pod. */
  readonly tickMs: number
  /** Between looks at the channels. */
  readonly reviewMs: number
}

/** Runs until disposed; a round under way then is waited for. */
export function startRounds(parts: RoundParts, { tickMs, reviewMs }: RoundOptions): AsyncDisposable {
  const stop = new AbortController()
  const { signal } = stop
  const rounds = [
    every(tickMs, () => tickAll(parts), { signal, log: parts.log }),
    every(reviewMs, () => reviewAll(parts), { signal, log: parts.log }),
    followEvents(parts, signal),
  ]
  return {
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the provider is stopping'))
      await Promise.allSettled(rounds)
    },
  }
}

async function tickAll({ journal, keeper, charger, log }: RoundParts): Promise<void> {
  for (const { podId } of journal.pods(['running'])) {
    await attempt('pod not counted', { podId, log }, async () => {
      await keeper.reconcile(podId)
      await charger.tick(podId)
    })
  }
}

async function reviewAll({ journal, keeper, charger, log }: RoundParts): Promise<void> {
  for (const { podId } of journal.pods(['running'])) {
    await attempt('channel not reviewed', { podId, log }, async () => {
      const verdict = await charger.review(podId)
      if (verdict.kind === 'end') await keeper.end(podId, verdict)
    })
  }
  for (const { podId, reason } of journal.pods(['stopping'])) {
    await attempt('pod not ended', { podId, log }, () => keeper.end(podId, reason ?? { code: 'restart', message: '' }))
  }
  for (const { podId } of journal.unsettled())
    await attempt('channel not settled', { podId, log }, () => charger.settle(podId))
}

/** Runtime events only make the next look come sooner. */
async function followEvents({ runtime, keeper, log }: RoundParts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const { podId } of runtime.watch({ signal })) {
        await attempt('pod not looked at', { podId, log }, () => keeper.reconcile(podId))
      }
    } catch (error) {
      if (!signal.aborted) log.warn('runtime events lost', { reason: String(error) })
    }
    await pause(1_000, signal)
  }
}

async function attempt(
  text: string,
  { podId, log }: { podId: string; log: Logger },
  act: () => Promise<void>,
): Promise<void> {
  try {
    await act()
  } catch (error) {
    log.warn(text, { pod: podId, reason: String(error) })
  }
}

async function every(
  ms: number,
  round: () => Promise<void>,
  { signal, log }: { signal: AbortSignal; log: Logger },
): Promise<void> {
  while (!signal.aborted) {
    try {
      await round()
    } catch (error) {
      log.error('round not finished', { reason: String(error) })
    }
    await pause(ms, signal)
  }
}

/** Returns early when the signal aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  const onAbort = () => resolve()
  signal.addEventListener('abort', onAbort, { once: true })
  await promise
  clearTimeout(timer)
  signal.removeEventListener('abort', onAbort)
}
