/**
 * What the provider remembers, in SQLite: every transition is written here, durably, before it is acted on.
 * Holds pods' plaintext while they live: the file belongs on the TEE's encrypted disk. Spec: docs/architecture.md.
 */
import { closeSync, openSync } from 'node:fs'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import type { CursorStore } from '@trusted-pods/protocol/chain/cursor.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { cursorIn } from './journal-cursor.ts'
import { type TrafficStore, trafficIn } from './journal-traffic.ts'
import { type Phase, type PodRow, type Suspension, toPodRow } from './pod-row.ts'

const SCHEMA_VERSION = 3
const SCHEMA = `
CREATE TABLE pods (
  pod_id TEXT PRIMARY KEY,
  terms_pod_id TEXT NOT NULL,
  publisher TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  request_digest TEXT NOT NULL,
  phase TEXT NOT NULL,
  reason_code TEXT,
  reason TEXT,
  pod BLOB,
  images TEXT NOT NULL DEFAULT '[]',
  quote BLOB NOT NULL,
  channel BLOB NOT NULL,
  deposited TEXT NOT NULL,
  claimed TEXT NOT NULL DEFAULT '0',
  fetched_bytes INTEGER NOT NULL DEFAULT 0,
  short_of_funds_at INTEGER,
  settlement TEXT,
  accepted_at INTEGER NOT NULL,
  ended_at INTEGER,
  UNIQUE (publisher, idempotency_key),
  UNIQUE (publisher, terms_pod_id)
) STRICT;
CREATE TABLE intervals (
  pod_id TEXT NOT NULL REFERENCES pods,
  sequence INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL,
  PRIMARY KEY (pod_id, sequence)
) STRICT;
CREATE TABLE receipts (
  pod_id TEXT PRIMARY KEY REFERENCES pods,
  cumulative TEXT NOT NULL,
  receipt BLOB NOT NULL
) STRICT;
`

/** What came after each version, so that a journal of that time is brought along. */
const SINCE_VERSION_1 = `
ALTER TABLE pods ADD COLUMN suspended_for TEXT;
ALTER TABLE pods ADD COLUMN suspended_at INTEGER;
ALTER TABLE pods ADD COLUMN opening_block TEXT;
ALTER TABLE pods ADD COLUMN opening_hash TEXT;
ALTER TABLE pods ADD COLUMN opening_raw BLOB;
ALTER TABLE pods ADD COLUMN voucher_sum TEXT;
ALTER TABLE pods ADD COLUMN voucher BLOB;
ALTER TABLE pods ADD COLUMN settled_block TEXT;
ALTER TABLE pods ADD COLUMN settled_for_good INTEGER NOT NULL DEFAULT 0;
CREATE TABLE cursor (number TEXT PRIMARY KEY, hash TEXT NOT NULL, place INTEGER NOT NULL) STRICT;
`

const SINCE_VERSION_2 = `
ALTER TABLE pods ADD COLUMN claimed_at INTEGER;
ALTER TABLE pods ADD COLUMN resumed_at INTEGER;
ALTER TABLE pods ADD COLUMN devices TEXT NOT NULL DEFAULT '[]';
CREATE TABLE traffic (
  pod_id TEXT PRIMARY KEY REFERENCES pods,
  egress TEXT NOT NULL,
  ingress TEXT NOT NULL,
  epoch TEXT NOT NULL,
  seen_egress TEXT NOT NULL,
  seen_ingress TEXT NOT NULL
) STRICT;
`

/** What a row is made with. */
export type NewPod = Partial<Pick<PodRow, 'devices'>> &
  Omit<
    PodRow,
    | 'phase'
    | 'reason'
    | 'images'
    | 'devices'
    | 'claimed'
    | 'claimedAtMs'
    | 'resumedAtMs'
    | 'fetchedBytes'
    | 'settlement'
    | 'settledBlock'
    | 'shortOfFundsAtMs'
    | 'endedAtMs'
    | 'suspension'
    | 'voucher'
  >

/** What no two pods share. */
export type PodNames = Pick<PodRow, 'podId' | 'termsPodId' | 'publisher' | 'idempotencyKey'>

/** Columns that change later; each call is one durable transaction. */
export interface PodChange {
  phase?: Phase
  reason?: { code: string; message: string }
  deposited?: bigint
  claimed?: bigint
  claimedAtMs?: number
  resumedAtMs?: number
  fetchedBytes?: number
  shortOfFundsAtMs?: number | null
  suspension?: Suspension | null
  voucher?: { cumulative: bigint; signature: Uint8Array }
  /** null: it was taken back. */
  settlement?: string | null
  settledBlock?: bigint
  settledForGood?: true
  images?: readonly string[]
  endedAtMs?: number
  /** Forgets the pod's plaintext, on the disk too. */
  forget?: true
}

export interface Interval {
  bootId: string
  fromMs: number
  toMs: number
}

export class Journal implements Disposable {
  readonly #db: DatabaseSync

  /** @throws TrustedPodsError PLATFORM_STATE when a newer program wrote the file. */
  constructor(path: string) {
    // Made with its mode before SQLite writes to it; SQLite gives its side files the same.
    if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600))
    this.#db = new DatabaseSync(path)
    this.#db.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA busy_timeout = 5000',
    )
    // What an earlier process forgot, but was killed before it was off the disk.
    this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    const version = Number(this.#db.prepare('PRAGMA user_version').get()?.user_version)
    if (version > SCHEMA_VERSION) {
      throw new TrustedPodsError(
        'PLATFORM_STATE',
        `${path} is of version ${version}, this program reads ${SCHEMA_VERSION}`,
      )
    }
    const missing = [SCHEMA, SINCE_VERSION_1, SINCE_VERSION_2].slice(version).join(' ')
    this.#db.exec(`BEGIN; ${missing} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`)
  }

  /** @throws TrustedPodsError CHANNEL_IN_USE, PROVISION_KEY_REUSED or PROVISION_BAD_REQUEST where another pod holds one of the three. */
  requireUnused(pod: PodNames): void {
    const held = this.#db
      .prepare(
        'SELECT pod_id, idempotency_key FROM pods WHERE pod_id = ? OR (publisher = ? AND (idempotency_key = ? OR terms_pod_id = ?))',
      )
      .get(pod.podId, pod.publisher, pod.idempotencyKey, pod.termsPodId)
    if (held) throw conflict(held, pod)
  }

  /** @throws as `requireUnused`. */
  insert(pod: NewPod): void {
    this.requireUnused(pod)
    this.#db
      .prepare(
        `INSERT INTO pods (pod_id, terms_pod_id, publisher, idempotency_key, request_digest, phase, pod, quote, channel, deposited, accepted_at, opening_block, opening_hash, opening_raw, devices)
         VALUES (?, ?, ?, ?, ?, 'accepted', ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        pod.podId,
        pod.termsPodId,
        pod.publisher,
        pod.idempotencyKey,
        pod.requestDigest,
        pod.pod ?? null,
        pod.quote,
        pod.channel,
        pod.deposited.toString(),
        pod.acceptedAtMs,
        pod.opening?.blockNumber.toString() ?? null,
        pod.opening?.blockHash ?? null,
        pod.opening?.raw ?? null,
        JSON.stringify(pod.devices ?? []),
      )
  }

  /** The row in its new phase; undefined, and nothing changed, when it was in none of `from`. */
  advance(podId: string, from: readonly Phase[], to: Phase, change: Omit<PodChange, 'phase'> = {}): PodRow | undefined {
    const row = this.pod(podId)
    if (!row || !from.includes(row.phase)) return undefined
    // A reason that is stored stays: the first one is why.
    const { reason, ...rest } = change
    this.change(podId, { phase: to, ...rest, ...(reason && !row.reason && { reason }) })
    return this.pod(podId)
  }

  change(podId: string, change: PodChange): void {
    const columns: [string, string | number | Uint8Array | null][] = []
    if (change.phase !== undefined) columns.push(['phase', change.phase])
    if (change.reason) columns.push(['reason_code', change.reason.code], ['reason', change.reason.message])
    if (change.deposited !== undefined) columns.push(['deposited', change.deposited.toString()])
    if (change.claimed !== undefined) columns.push(['claimed', change.claimed.toString()])
    if (change.claimedAtMs !== undefined) columns.push(['claimed_at', change.claimedAtMs])
    if (change.resumedAtMs !== undefined) columns.push(['resumed_at', change.resumedAtMs])
    if (change.fetchedBytes !== undefined) columns.push(['fetched_bytes', change.fetchedBytes])
    if (change.shortOfFundsAtMs !== undefined) columns.push(['short_of_funds_at', change.shortOfFundsAtMs])
    if (change.suspension !== undefined)
      columns.push(
        ['suspended_for', change.suspension?.why ?? null],
        ['suspended_at', change.suspension?.sinceMs ?? null],
      )
    if (change.voucher)
      columns.push(['voucher_sum', change.voucher.cumulative.toString()], ['voucher', change.voucher.signature])
    if (change.settlement !== undefined) columns.push(['settlement', change.settlement])
    if (change.settledBlock !== undefined) columns.push(['settled_block', change.settledBlock.toString()])
    if (change.settledForGood) columns.push(['settled_for_good', 1])
    if (change.images !== undefined) columns.push(['images', JSON.stringify(change.images)])
    if (change.endedAtMs !== undefined) columns.push(['ended_at', change.endedAtMs])
    if (change.forget) columns.push(['pod', null])
    if (columns.length === 0) return
    const assignments = columns.map(([name]) => `${name} = ?`).join(', ')
    this.#db.prepare(`UPDATE pods SET ${assignments} WHERE pod_id = ?`).run(...columns.map(([, value]) => value), podId)
    if (change.forget) this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  }

  pod(podId: string): PodRow | undefined {
    const row = this.#db.prepare('SELECT * FROM pods WHERE pod_id = ?').get(podId)
    return row && toPodRow(row)
  }

  /** The pod that its publisher calls so. */
  byTermsPodId(publisher: string, termsPodId: string): PodRow | undefined {
    const row = this.#db
      .prepare('SELECT * FROM pods WHERE publisher = ? AND terms_pod_id = ?')
      .get(publisher, termsPodId)
    return row && toPodRow(row)
  }

  byIdempotencyKey(publisher: string, key: string): PodRow | undefined {
    const row = this.#db.prepare('SELECT * FROM pods WHERE publisher = ? AND idempotency_key = ?').get(publisher, key)
    return row && toPodRow(row)
  }

  pods(phases: readonly Phase[]): PodRow[] {
    const marks = phases.map(() => '?').join(', ')
    return this.#db
      .prepare(`SELECT * FROM pods WHERE phase IN (${marks}) ORDER BY accepted_at`)
      .all(...phases)
      .map(toPodRow)
  }

  /** Ended pods whose channel is not settled yet. */
  unsettled(): PodRow[] {
    return this.#db
      .prepare(`SELECT * FROM pods WHERE phase IN ('stopped', 'failed') AND settlement IS NULL`)
      .all()
      .map(toPodRow)
  }

  /** Ended pods whose settlement a reorganisation could still take back. */
  settledLately(): PodRow[] {
    return this.#db
      .prepare('SELECT * FROM pods WHERE settlement IS NOT NULL AND settled_for_good = 0')
      .all()
      .map(toPodRow)
  }

  /** Begins or lengthens the pod's interval `sequence`. */
  putInterval(podId: string, sequence: number, { bootId, fromMs, toMs }: Interval): void {
    this.#db
      .prepare(
        `INSERT INTO intervals VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (pod_id, sequence) DO UPDATE SET to_ms = max(to_ms, excluded.to_ms)`,
      )
      .run(podId, sequence, bootId, fromMs, toMs)
  }

  intervals(podId: string): Interval[] {
    return this.#db
      .prepare('SELECT boot_id, from_ms, to_ms FROM intervals WHERE pod_id = ? ORDER BY sequence')
      .all(podId)
      .map((row) => ({ bootId: String(row.boot_id), fromMs: Number(row.from_ms), toMs: Number(row.to_ms) }))
  }

  /** Takes the place of one that is not higher: receipts are cumulative, and never fall. */
  putReceipt(podId: string, cumulative: bigint, receipt: Uint8Array): void {
    this.#db
      .prepare(
        `INSERT INTO receipts VALUES (?, ?, ?)
         ON CONFLICT (pod_id) DO UPDATE SET cumulative = excluded.cumulative, receipt = excluded.receipt
         WHERE (length(excluded.cumulative), excluded.cumulative) >= (length(cumulative), cumulative)`,
      )
      .run(podId, cumulative.toString(), receipt)
  }

  /** The newest receipt, encoded. */
  lastReceipt(podId: string): { cumulative: bigint; receipt: Uint8Array } | undefined {
    const row = this.#db.prepare('SELECT cumulative, receipt FROM receipts WHERE pod_id = ?').get(podId)
    return row && { cumulative: BigInt(String(row.cumulative)), receipt: row.receipt as Uint8Array }
  }

  /** How far the chain was followed. */
  get cursor(): CursorStore {
    return cursorIn(this.#db)
  }

  /** What pods sent and received. */
  get traffic(): TrafficStore {
    return trafficIn(this.#db)
  }

  [Symbol.dispose](): void {
    this.#db.close()
  }
}

function conflict(held: Record<string, SQLOutputValue>, pod: PodNames): TrustedPodsError {
  if (held.pod_id === pod.podId) {
    return new TrustedPodsError('CHANNEL_IN_USE', `channel 0x${pod.podId} pays for a pod already`)
  }
  if (held.idempotency_key === pod.idempotencyKey) {
    return new TrustedPodsError('PROVISION_KEY_REUSED', `idempotency key ${pod.idempotencyKey} belongs to another pod`)
  }
  return new TrustedPodsError('PROVISION_BAD_REQUEST', `this publisher has a pod ${pod.termsPodId} already`)
}
