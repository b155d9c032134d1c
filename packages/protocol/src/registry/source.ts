/** Where providers are found: whatever the source, each record is verified and one bad row breaks nothing. Spec: spec/REGISTRY.md#sources. */
import type { Address } from 'viem'
import { toTrustedPodsError } from '../errors.ts'
import { type OpenedRecord, type OpenRecordOptions, openRecord } from './record.ts'

/** A row that cannot be used. */
export interface SkippedRow {
  /** Why, for people. */
  readonly skipped: string
  /** Whose row it is, where that is known. */
  readonly account: Address | undefined
}

export type RegistryRow = OpenedRecord | SkippedRow

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined
}

export interface RegistrySource {
  /** Every row, in no order that means anything. */
  providers(options?: ReadOptions): AsyncIterable<RegistryRow>
}

/** The record, or why it is skipped. */
export async function openRow(bytes: Uint8Array, options: OpenRecordOptions): Promise<RegistryRow> {
  try {
    return await openRecord(bytes, options)
  } catch (error) {
    return { skipped: toTrustedPodsError(error, 'CHANNEL_REGISTRY_RECORD').message, account: options.account }
  }
}
