/**
 * Providers from a file: the same signed records, each after its length as an unsigned varint. For private fleets, tests and use
 * without a chain. Nobody announced them, so that the account in each is only its own word. Spec: spec/REGISTRY.md#file. Pure.
 */
import * as varint from 'uint8-varint'
import type { Address } from 'viem'
import { concatBytes } from '../bytes.ts'
import { MAX_RECORD_BYTES } from './record.ts'
import { openRow, type ReadOptions, type RegistryRow, type RegistrySource } from './source.ts'

export interface FileSourceOptions {
  readonly chainId: number | bigint
  readonly registry: Address
  readonly now?: () => Date
}

export function fileSource(
  bytes: Uint8Array,
  { chainId, registry, now = () => new Date() }: FileSourceOptions,
): RegistrySource {
  return {
    async *providers({ signal }: ReadOptions = {}) {
      const options = { chainId, registry, account: undefined, now: now() }
      const rows: RegistryRow[] = []
      for (const frame of splitFrames(bytes)) {
        signal?.throwIfAborted()
        rows.push(frame instanceof Uint8Array ? await openRow(frame, options) : frame)
      }
      yield* withoutSuperseded(rows)
    },
  }
}

/** Files are put together by hand: of one peer's records only the newest counts. */
function* withoutSuperseded(rows: readonly RegistryRow[]): Iterable<RegistryRow> {
  const newest = new Map<string, RegistryRow>()
  for (const row of rows) {
    if ('skipped' in row) continue
    const other = newest.get(row.peerId.toString())
    if (other === undefined || 'skipped' in other || row.record.sequence > other.record.sequence)
      newest.set(row.peerId.toString(), row)
  }
  for (const row of rows) {
    if ('skipped' in row || newest.get(row.peerId.toString()) === row) yield row
    else
      yield {
        skipped: `a record of peer ${row.peerId} that another in the file takes the place of`,
        account: row.account,
      }
  }
}

/** The file of the records that `signRecord` made. */
export function encodeRecordFile(records: readonly Uint8Array[]): Uint8Array {
  return concatBytes(...records.flatMap((record) => [varint.encode(record.length), record]))
}

/** After a length that is wrong nothing can be found: the rest is one skipped row. */
function* splitFrames(bytes: Uint8Array): Iterable<Uint8Array | RegistryRow> {
  for (let offset = 0; offset < bytes.length; ) {
    const frame = nextFrame(bytes.subarray(offset))
    if (frame === undefined) {
      yield { skipped: `the file is not a list of records from byte ${offset} on`, account: undefined }
      return
    }
    yield frame.record
    offset += frame.length
  }
}

function nextFrame(bytes: Uint8Array): { record: Uint8Array; length: number } | undefined {
  const prefix = readLength(bytes)
  if (prefix === undefined || prefix.value > MAX_RECORD_BYTES) return undefined
  const length = prefix.bytes + prefix.value
  return length > bytes.length ? undefined : { record: bytes.subarray(prefix.bytes, length), length }
}

function readLength(bytes: Uint8Array): { value: number; bytes: number } | undefined {
  try {
    const value = varint.decode(bytes)
    return { value, bytes: varint.encodingLength(value) }
  } catch {
    // Cut off or longer than 8 bytes: no length.
    return undefined
  }
}
