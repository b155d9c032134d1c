/** What pods have sent and received in all, in the journal. */
import type { DatabaseSync } from 'node:sqlite'
import type { TrafficReading } from './runtime/pod-runtime.ts'

export interface TrafficTotals {
  readonly egressBytes: bigint
  readonly ingressBytes: bigint
}

export interface TrafficStore {
  total(podId: string): TrafficTotals
  /** Adds what was counted since the reading before: all of it where counting began anew. Read twice, it counts once. */
  add(podId: string, reading: TrafficReading): void
}

const NOTHING: TrafficTotals = { egressBytes: 0n, ingressBytes: 0n }

export function trafficIn(db: DatabaseSync): TrafficStore {
  const load = (podId: string) => db.prepare('SELECT * FROM traffic WHERE pod_id = ?').get(podId)
  const total = (podId: string): TrafficTotals => {
    const row = load(podId)
    return row ? { egressBytes: BigInt(String(row.egress)), ingressBytes: BigInt(String(row.ingress)) } : NOTHING
  }
  return {
    total,
    add(podId, { epoch, egressBytes, ingressBytes }) {
      const row = load(podId)
      const since = (now: bigint, seen: unknown) => {
        const before = row?.epoch === epoch ? BigInt(String(seen)) : 0n
        return now < before ? now : now - before
      }
      const before = total(podId)
      const egress = before.egressBytes + since(egressBytes, row?.seen_egress)
      const ingress = before.ingressBytes + since(ingressBytes, row?.seen_ingress)
      const totals = [egress, ingress, epoch, egressBytes, ingressBytes].map(String)
      // One statement, and so one durable step: totals and what they are counted up to.
      db.prepare('INSERT OR REPLACE INTO traffic VALUES (?, ?, ?, ?, ?, ?)').run(podId, ...totals)
    },
  }
}
