/**
 * Verified records in a file of the user's own, one for each registry. Read whole or not at all: a file that was cut or changed is as
 * good as none. Layout: magic, frames of {key [52], kind [1], end [8], length [4], bytes}, SHA-256 of all before.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { loadSecret, storeSecret } from '@trusted-pods/platform/secret-file.ts'
import type {
  KnownRecord,
  KnownRecords,
  RecordCache,
  RegistryPlace,
} from '@trusted-pods/protocol/registry/record-cache.ts'

const MAGIC = Buffer.from('trusted-pods-records-2\n')
/** The account's 20 bytes and the digest's 32. */
const KEY_BYTES = 52
const END_AT = KEY_BYTES + 1
const LENGTH_AT = END_AT + 8
const HEAD_BYTES = LENGTH_AT + 4
const DIGEST_BYTES = 32
const VERIFIED = 1
const REFUSED = 0

export function fileRecordCache(folder: string): RecordCache {
  const path = ({ chainId, registry }: RegistryPlace) => join(folder, `${chainId}-${registry.toLowerCase()}.records`)
  return {
    load: async (place) => {
      const file = await loadSecret(path(place))
      return file === undefined ? new Map() : decode(Buffer.from(file.buffer, file.byteOffset, file.length))
    },
    save: (place, records) => storeSecret(path(place), encode(records)),
  }
}

function encode(records: KnownRecords): Buffer {
  const frames = [...records].flatMap(([key, record]) => {
    const bytes = 'payload' in record ? record.payload : Buffer.from(record.refused)
    const head = Buffer.alloc(HEAD_BYTES)
    head.write(key, 'hex')
    head.writeUInt8('payload' in record ? VERIFIED : REFUSED, KEY_BYTES)
    head.writeBigUInt64BE('payload' in record ? record.expiresAtMs : 0n, END_AT)
    head.writeUInt32BE(bytes.length, LENGTH_AT)
    return [head, bytes]
  })
  const body = Buffer.concat([MAGIC, ...frames])
  return Buffer.concat([body, digestOf(body)])
}

function decode(file: Buffer): KnownRecords {
  const records = new Map<string, KnownRecord>()
  const end = file.length - DIGEST_BYTES
  if (end < MAGIC.length || !file.subarray(0, MAGIC.length).equals(MAGIC)) return records
  if (!digestOf(file.subarray(0, end)).equals(file.subarray(end))) return records
  for (let at = MAGIC.length; at < end; ) {
    const length = file.readUInt32BE(at + LENGTH_AT)
    const expiresAtMs = file.readBigUInt64BE(at + END_AT)
    const bytes = file.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length)
    // Plain bytes, as they come from the chain: a Buffer writes itself into JSON in its own way.
    const payload = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    const known = file[at + KEY_BYTES] === VERIFIED ? { payload, expiresAtMs } : { refused: bytes.toString() }
    records.set(file.toString('hex', at, at + KEY_BYTES), known)
    at += HEAD_BYTES + length
  }
  return records
}

function digestOf(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}
