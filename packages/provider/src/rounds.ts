/** What the provider does again and again: count time, look at pods and channels, settle what is left. Level-triggered: a round
 * that was missed or failed is made good by the next. */
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Charger } from './charger.ts'
import type { Journal } from './journal.ts'
import { pause } from './pause.ts'
import type { PodKeeper } from './pod-keeper.ts'
import { type PodRow, STARTING_PHASES } from './pod-row.ts'
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

async function tickAll(parts: RoundParts): Promise<void> {
  const { journal, keeper, charger } = parts
  await forEach(journal.pods(['running']), 'pod not counted', parts, async ({ podId }) => {
    await keeper.reconcile(podId)
    await charger.tick(podId)
  })
}

async function reviewAll(parts: RoundParts): Promise<void> {
  const { journal, keeper, charger, log } = parts
  await forEach(journal.pods([...STARTING_PHASES, 'running']), 'channel not reviewed', parts, async ({ podId }) => {
    const verdict = await charger.review(podId)
    if (verdict.kind === 'end') await keeper.end(podId, verdict)
  })
  await forEach(journal.pods(['stopping']), 'pod not ended', parts, ({ podId, reason }) =>
    keeper.end(podId, reason ?? { code: 'restarted', message: '' }),
  )
  await forEach(journal.unsettled(), 'channel not settled', parts, ({ podId }) => charger.settle(podId))
  await attempt('left-overs not removed', { podId: '', log }, () => keeper.sweep())
}

/** Side by side: a pod that takes its time to end holds up no other. */
async function forEach(
  rows: readonly PodRow[],
  text: string,
  { log }: RoundParts,
  act: (row: PodRow) => Promise<void>,
): Promise<void> {
  await Promise.all(rows.map((row) => attempt(text, { podId: row.podId, log }, () => act(row))))
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
