/**
 * What pods send and receive, from the runtime's counters into the journal, and the end of a pod's network while it is ahead of
 * what it may use. Spec: spec/PRICING.md#use.
 */
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { EGRESS, INGRESS } from '@trusted-pods/protocol/pricing/resources.ts'
import type { Journal } from './journal.ts'
import type { TrafficTotals } from './journal-traffic.ts'
import type { Meter } from './meter.ts'
import type { PodRow } from './pod-row.ts'
import { quoteOf } from './quoted.ts'
import type { PodRuntime } from './runtime/pod-runtime.ts'

/** How far ahead of its allowance a pod may be: what a quarter of an hour allows is also the most that a provider gives on credit. */
const AHEAD_SECONDS = 900n
const SECONDS_PER_HOUR = 3600n
const UNBOUNDED = 2n ** 128n

export interface TrafficMeterParts {
  readonly journal: Journal
  readonly runtime: Pick<PodRuntime, 'traffic' | 'setNetwork'>
  readonly meter: Pick<Meter, 'runningSeconds'>
  readonly log: Logger
}

export class TrafficMeter {
  readonly #parts: TrafficMeterParts
  /** Whether each pod's network was left open by this process. */
  readonly #isOpen = new Map<string, boolean>()

  constructor(parts: TrafficMeterParts) {
    this.#parts = parts
  }

  /** Takes up what was counted since the last time; what cannot be read now is in the next reading, so this never rejects. */
  async count(podId: string): Promise<void> {
    const { journal, runtime, log } = this.#parts
    try {
      const row = journal.pod(podId)
      const reading = row && (await runtime.traffic(podId))
      if (!reading) return
      journal.traffic.add(podId, reading)
      if (row.phase === 'running') await this.#judge(row, journal.traffic.total(podId))
    } catch (error) {
      log.warn('traffic not counted yet', { pod: podId, reason: String(error) })
    }
  }

  forget(podId: string): void {
    this.#isOpen.delete(podId)
  }

  async #judge(row: PodRow, total: TrafficTotals): Promise<void> {
    const { podId } = row
    const mayPass = total.egressBytes <= this.#allowed(row, EGRESS) && total.ingressBytes <= this.#allowed(row, INGRESS)
    // Closed anew at each look: whoever made the table again has let it through.
    if (mayPass && this.#isOpen.get(podId) === true) return
    if (this.#isOpen.get(podId) !== mayPass)
      this.#parts.log.info(mayPass ? 'network of a pod open' : 'network of a pod closed: its allowance is used up', {
        pod: podId,
        egressBytes: total.egressBytes.toString(),
        ingressBytes: total.ingressBytes.toString(),
      })
    await this.#parts.runtime.setNetwork(podId, { isOpen: mayPass })
    this.#isOpen.set(podId, mayPass)
  }

  /** Without a price there is no bound. */
  #allowed(row: PodRow, resource: string): bigint {
    const { pricing, resources } = quoteOf(row)
    if (!pricing.prices.some((price) => price.resource === resource)) return UNBOUNDED
    const perHour = resources.reduce((sum, { name, quantity }) => (name === resource ? sum + quantity : sum), 0n)
    return (perHour * (this.#parts.meter.runningSeconds(row.podId) + AHEAD_SECONDS)) / SECONDS_PER_HOUR
  }
}
