/**
 * What the provider has sent for payers without gas coin, in a file of its own: written before each transaction, so that no crash
 * makes the daily bound forget, and no channel that was opened so is left behind. Spec: spec/PAYMENT.md#relay.
 */
import { closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { type ChannelTerms, fromProtoTerms, toProtoTerms } from '@trusted-pods/protocol/channel/terms.ts'
import { TermsSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { Hex } from 'viem'

export interface Relayed {
  readonly channelId: Hex
  readonly terms: ChannelTerms
  /** The most that it may cost. */
  readonly wei: bigint
  readonly atMs: number
  /** Unix seconds from which it cannot be mined any more. */
  readonly validBefore: bigint
  readonly kind: 'open' | 'top-up'
}

const SCHEMA = `
CREATE TABLE IF NOT EXISTS relayed (
  channel TEXT NOT NULL,
  payer TEXT NOT NULL,
  terms BLOB NOT NULL,
  wei TEXT NOT NULL,
  at INTEGER NOT NULL,
  valid_before TEXT NOT NULL,
  kind TEXT NOT NULL,
  looked_after INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS relayed_at ON relayed (at);
CREATE INDEX IF NOT EXISTS relayed_channel ON relayed (channel);
`

export class RelayLedger implements Disposable {
  readonly #db: DatabaseSync

  constructor(path: string) {
    if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600))
    this.#db = new DatabaseSync(path)
    this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000')
    this.#db.exec(SCHEMA)
  }

  /** Durable when it returns. */
  add({ channelId, terms, wei, atMs, validBefore, kind }: Relayed): void {
    this.#db
      .prepare('INSERT INTO relayed (channel, payer, terms, wei, at, valid_before, kind) VALUES (?, ?, ?, ?, ?, ?, ?)')
      .run(
        channelId,
        terms.payer.toLowerCase(),
        toBinary(TermsSchema, toProtoTerms(terms)),
        wei.toString(),
        atMs,
        validBefore.toString(),
        kind,
      )
  }

  /** Wei that may have been spent since then, by all and for this payer. */
  spentSince(sinceMs: number, payer: string): { readonly total: bigint; readonly forPayer: bigint } {
    const rows = this.#db.prepare('SELECT payer, wei FROM relayed WHERE at > ?').all(sinceMs)
    const sum = (of: typeof rows) => of.reduce((total, { wei }) => total + BigInt(String(wei)), 0n)
    return { total: sum(rows), forPayer: sum(rows.filter((row) => row.payer === payer.toLowerCase())) }
  }

  /** Whether this provider has sent the opening. */
  hasOpened(channelId: Hex): boolean {
    return this.#db.prepare(`SELECT 1 FROM relayed WHERE channel = ? AND kind = 'open'`).get(channelId) !== undefined
  }

  /** Openings of which it is not known yet that they came to nothing, or led to a pod. */
  openings(): Pick<Relayed, 'channelId' | 'terms' | 'atMs' | 'validBefore'>[] {
    return this.#db
      .prepare(`SELECT channel, terms, at, valid_before FROM relayed WHERE kind = 'open' AND looked_after = 0`)
      .all()
      .map((row) => ({
        channelId: `0x${String(row.channel).slice(2)}` as const,
        terms: fromProtoTerms(fromBinary(TermsSchema, row.terms as Uint8Array)),
        atMs: Number(row.at),
        validBefore: BigInt(String(row.valid_before)),
      }))
  }

  /** Nothing is left to do for this channel. */
  close(channelId: Hex): void {
    this.#db.prepare('UPDATE relayed SET looked_after = 1 WHERE channel = ?').run(channelId)
  }

  [Symbol.dispose](): void {
    this.#db.close()
  }
}
