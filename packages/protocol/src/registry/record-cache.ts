/** Records kept from one reading to the next, so that only what has changed is fetched and verified again. Spec: spec/REGISTRY.md#cache. */
import type { Address, Hex } from 'viem'
import type { RegistryEntry } from '../chain/registry.ts'

/** What is known of a record for ever: its verified payload, or why it is refused. */
export type KnownRecord =
  | {
      readonly payload: Uint8Array /** Of the record in it, so that it need not be read to be judged. */
      readonly expiresAtMs: bigint
    }
  | { readonly refused: string }

/** By `recordKey`. */
export type KnownRecords = ReadonlyMap<string, KnownRecord>

/** The contract that the records were read from. */
export interface RegistryPlace {
  readonly chainId: number
  readonly registry: Address
}

/** Whoever can write to it can make up providers: it belongs where the user's own keys are. */
export interface RecordCache {
  /** Empty where nothing is kept, or where what is kept cannot be read. */
  load(place: RegistryPlace): Promise<KnownRecords>
  /** Takes the place of what was kept. */
  save(place: RegistryPlace, records: KnownRecords): Promise<void>
}

/** A record was verified for the account that announced it, and is known by it: others may announce the same bytes. */
export function recordKey({ provider, digest }: Pick<RegistryEntry, 'provider' | 'digest'>): string {
  return `${provider.slice(2).toLowerCase()}${digest.slice(2)}`
}

/** For programs that run on: as long as they do. */
export function memoryRecordCache(): RecordCache {
  const kept = new Map<string, KnownRecords>()
  const name = ({ chainId, registry }: RegistryPlace): Hex =>
    `0x${chainId.toString(16)}${registry.slice(2).toLowerCase()}`
  return {
    load: async (place) => kept.get(name(place)) ?? new Map(),
    save: async (place, records) => void kept.set(name(place), records),
  }
}
