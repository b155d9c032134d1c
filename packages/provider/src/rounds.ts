/** What the provider does again and again: count time, look at pods and channels, settle what is left. Level-triggered: a round
 * that was missed or failed is made good by the next. */

import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { pause } from '@trusted-pods/protocol/pause.ts'
import type { ChainLink } from './chain-link.ts'
import { readChannelEvents } from './channel-events.ts'
import type { ChannelView } from './channel-view.ts'
import type { Charger } from './charger.ts'
import type { Claimer } from './claimer.ts'
import type { Journal } from './journal.ts'
import type { PodKeeper } from './pod-keeper.ts'
import { type PodRow, STARTING_PHASES } from './pod-row.ts'
import type { PodRuntime } from './runtime/pod-runtime.ts'
import type { Settler } from './settler.ts'
import type { TrafficMeter } from './traffic-meter.ts'

export interface RoundParts {
  readonly journal: Journal
  readonly runtime: PodRuntime
  readonly keeper: PodKeeper
  readonly charger: Charger
  readonly claimer: Claimer
  readonly settler: Settler
  readonly traffic: TrafficMeter
  readonly link: ChainLink
  readonly log: Logger
  /** From acceptance to running: past it a pod that still starts is ended. */
  readonly startLimitMs: number
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
  const underWay = new UnderWay()
  const rounds = [
    every(tickMs, () => tickAll(parts, underWay), { signal, log: parts.log }),
    every(reviewMs, () => reviewAll(parts, underWay), { signal, log: parts.log }),
    every(EVENTS_MS, () => followChain(parts, underWay), { signal, log: parts.log }),
    followEvents(parts, signal),
  ]
  return {
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the provider is stopping'))
      await Promise.allSettled(rounds)
      await underWay.settled()
    },
  }
}

function tickAll(parts: RoundParts, underWay: UnderWay): void {
  const { journal, keeper, traffic, charger } = parts
  begin(journal.pods(['running']), 'pod not counted', { ...parts, underWay }, async ({ podId }) => {
    await keeper.reconcile(podId)
    await traffic.count(podId)
    await charger.tick(podId)
  })
}

function reviewAll(parts: RoundParts, underWay: UnderWay): void {
  const { journal, keeper, settler, log, startLimitMs } = parts
  const context = { ...parts, underWay }
  begin(journal.pods(STARTING_PHASES), 'pod not ended', context, async ({ podId, acceptedAtMs, resumedAtMs }) => {
    // One that goes on after a suspension has run, and holds data: its publisher or its money ends it.
    if (resumedAtMs === undefined && Date.now() - acceptedAtMs > startLimitMs) await keeper.end(podId, TOO_LONG)
  })
  underWay.run('look', () =>
    attempt('channels not reviewed', { podId: '', log }, () => lookAt(journal.pods(PAYING_PHASES), context)),
  )
  begin(journal.pods(['stopping']), 'pod not ended', context, ({ podId, reason }) =>
    keeper.end(podId, reason ?? { code: 'restarted', message: '' }),
  )
  begin(journal.unsettled(), 'channel not settled', context, ({ podId }) => settler.settle(podId))
  underWay.run('settled', () =>
    attempt('settlements not checked', { podId: '', log }, () => settler.checkSettled(journal.settledLately())),
  )
  underWay.run('sweep', () => attempt('left-overs not removed', { podId: '', log }, () => keeper.sweep()))
}

/** Phases in which a channel pays for a pod; one that is being taken down may take its time, and its channel closes meanwhile. */
const PAYING_PHASES = [...STARTING_PHASES, 'running', 'suspended', 'stopping'] as const
/** A close request is noticed well inside the five minutes for which it still accrues, and a publisher waits for it. */
const EVENTS_MS = 5_000

async function lookAt(rows: readonly PodRow[], parts: RoundParts & { underWay: UnderWay }): Promise<void> {
  const view = await parts.charger.look(rows.map(({ podId }) => podId))
  if (!view) return
  // Nobody waits for transactions: what a channel means for its pod does not depend on them.
  parts.underWay.run('claims', () => parts.claimer.claimDue(view))
  begin(rows, 'channel not reviewed', parts, (row) => reviewPod(row, view, parts))
}

/** Without a chain there is nothing to follow, and the reviews say so already. */
function followChain(parts: RoundParts, underWay: UnderWay): void {
  const { journal, link, log, settler } = parts
  underWay.run('events', () =>
    attempt('chain not followed', { podId: '', log }, async () => {
      const chain = connectedTo(link)
      if (!chain) return
      await readChannelEvents(chain, parts, async ({ podIds }) => {
        const rows = journal.pods(PAYING_PHASES).filter(({ podId }) => podIds === 'all' || podIds.has(podId))
        await lookAt(rows, { ...parts, underWay })
        if (podIds === 'all') await settler.checkSettled(journal.settledLately())
      })
    }),
  )
}

function connectedTo(link: ChainLink): Chain | undefined {
  try {
    return link.require()
  } catch {
    // Told by the link itself, again and again.
    return undefined
  }
}

async function reviewPod({ podId }: PodRow, view: ChannelView, { charger, keeper }: RoundParts): Promise<void> {
  const verdict = await charger.review(podId, view)
  switch (verdict.kind) {
    case 'go-on':
      return
    case 'end':
      return await keeper.end(podId, verdict)
    case 'suspend':
      return await keeper.suspend(podId, verdict.why)
    case 'resume':
      return keeper.resume(podId)
  }
}

/** Of a pod that holds its place without ever running. */
const TOO_LONG = { code: 'PROVISION_IMAGE_FETCH', message: 'the pod took too long to start' }

/** Side by side, and nobody waits: a pod that takes its time holds up no other, and is left alone until it is done. */
function begin(
  rows: readonly PodRow[],
  text: string,
  { log, underWay }: RoundParts & { underWay: UnderWay },
  act: (row: PodRow) => Promise<void>,
): void {
  for (const row of rows) {
    underWay.run(`${text} ${row.podId}`, () => attempt(text, { podId: row.podId, log }, () => act(row)))
  }
}

/** What was begun and has not ended, by name. */
class UnderWay {
  readonly #work = new Map<string, Promise<void>>()

  /** Does nothing while work of this name is under way. The work must not reject. */
  run(name: string, work: () => Promise<void>): void {
    if (this.#work.has(name)) return
    this.#work.set(
      name,
      work().finally(() => this.#work.delete(name)),
    )
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#work.values())
  }
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
  round: () => void,
  { signal, log }: { signal: AbortSignal; log: Logger },
): Promise<void> {
  while (!signal.aborted) {
    try {
      round()
    } catch (error) {
      log.error('round not finished', { reason: String(error) })
    }
    await pause(ms, signal)
  }
}
