/**
 * Event logs: what was measured into the RTMRs, one by one. Whoever made the log could write anything into it; it proves
 * something only where its replay is the quoted RTMR. Spec: spec/ATTESTATION.md#event-log. Pure.
 */
import { concatBytes, fromHex, toBufferSource, toHex } from '../../bytes.ts'
import { malformed, parseJson, readArray, readNumber, readObject, readText } from './json-reader.ts'

/** One measurement. */
export interface LoggedEvent {
  /** RTMR0 to RTMR3. */
  readonly register: 0 | 1 | 2 | 3
  /** SHA-384. */
  readonly digest: Uint8Array
  /** What the digest is of; only dstack's own events say so in a way that can be checked. */
  readonly told?: { readonly name: string; readonly payload: string }
}

const DIGEST_BYTES = 48
/** Real logs have 30 to 60 events. */
const MAX_EVENTS = 1024

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED for another format, a broken log, or more than 1,024 events. */
export async function parseEventLog(format: string, log: Uint8Array): Promise<LoggedEvent[]> {
  if (format === 'ccel') return readCcel(log).events
  if (format === 'dstack') return await parseDstack(log)
  throw malformed('event log', 'the format ccel or dstack')
}

/** A CCEL log without the unused memory behind its last event. @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED. */
export function trimCcel(log: Uint8Array): Uint8Array {
  return log.subarray(0, readCcel(log).end)
}

/** The value of a register that began as zero and was extended with its events in their order. */
export async function replay(events: readonly LoggedEvent[], register: number): Promise<Uint8Array> {
  let value: Uint8Array = new Uint8Array(DIGEST_BYTES)
  for (const event of events) {
    if (event.register === register) value = await sha384(concatBytes(value, event.digest))
  }
  return value
}

const REGISTERS = [0, 1, 2, 3] as const
/** TCG: an event that was logged only. */
const EV_NO_ACTION = 3
const SHA384 = 0x000c
/** Digest lengths by TPM algorithm id. */
const DIGEST_LENGTHS: Readonly<Record<number, number>> = { 4: 20, 11: 32, 12: 48, 13: 64, 18: 32 }
/** What firmware fills the memory behind the last event with; td-shim leaves zeros there instead. */
const UNUSED = 0xffffffff

/** TCG PC Client PFP, TCG_PCR_EVENT2 after one event of the old form; register 1 to 4 is RTMR0 to RTMR3. */
function readCcel(log: Uint8Array): { events: LoggedEvent[]; end: number } {
  const reader = new LogReader(log)
  // Old form: index u32, type u32, SHA-1 digest [20], length u32, the header of the log.
  reader.take(28)
  reader.take(reader.u32())
  const events: LoggedEvent[] = []
  let end = reader.offset
  for (let count = 0; !reader.isDone; count++) {
    if (count === MAX_EVENTS) throw malformed('event log', `at most ${MAX_EVENTS} events`)
    const index = reader.u32()
    if (index === UNUSED || (index === 0 && reader.isBlank)) break
    const type = reader.u32()
    const digest = readDigests(reader)
    reader.take(reader.u32())
    end = reader.offset
    if (type === EV_NO_ACTION) continue
    const register = REGISTERS[index - 1]
    if (register === undefined || digest === undefined) throw malformed('event log', 'RTMRs and SHA-384 digests')
    events.push({ register, digest })
  }
  return { events, end }
}

/** Count u32, then for each an algorithm u16 and its digest; the SHA-384 one. */
function readDigests(reader: LogReader): Uint8Array | undefined {
  const count = reader.u32()
  let found: Uint8Array | undefined
  for (let i = 0; i < count; i++) {
    const algorithm = reader.u16()
    const length = DIGEST_LENGTHS[algorithm]
    if (length === undefined) throw malformed('event log', 'known digest algorithms')
    const digest = reader.take(length)
    if (algorithm === SHA384) found = digest
  }
  return found
}

/** dstack's own events; others in its log come from the firmware. */
const DSTACK_RUNTIME_EVENT = 0x08000001

/** A list of {imr, event_type, digest, event, event_payload}, or an object that has it as event_log. */
async function parseDstack(log: Uint8Array): Promise<LoggedEvent[]> {
  const value = parseJson(log)
  const list = Array.isArray(value) ? value : readObject(value, 'event log').event_log
  if (Array.isArray(list) && list.length > MAX_EVENTS) throw malformed('event log', `at most ${MAX_EVENTS} events`)
  const read = (Array.isArray(list) ? list : readArray(list, 'event_log', (item) => item)).map(readDstackEvent)
  return await Promise.all(read)
}

async function readDstackEvent(item: unknown, i: number): Promise<LoggedEvent> {
  const path = `event_log[${i}]`
  const event = readObject(item, path)
  const register = REGISTERS[readNumber(event.imr, `${path}.imr`, 3)] ?? 0
  const type = readNumber(event.event_type, `${path}.event_type`, 0xffffffff)
  if (type !== DSTACK_RUNTIME_EVENT) {
    const digest = fromHex(readText(event.digest, `${path}.digest`))
    if (digest?.length !== DIGEST_BYTES) throw malformed(`${path}.digest`, `${2 * DIGEST_BYTES} hex digits`)
    return { register, digest }
  }
  const name = readText(event.event, `${path}.event`)
  const payload = fromHex(readText(event.event_payload, `${path}.event_payload`))
  if (payload === undefined) throw malformed(`${path}.event_payload`, 'hex')
  return { register, digest: await dstackDigest(name, payload), told: tell(name, payload) }
}

/**
 * The digest is over name, ":" and payload, so of "a:b" and "c" it is that of "a" and "b:c" too, and whoever writes the log could
 * choose. One reading holds: the name ends at the first colon.
 */
function tell(name: string, payload: Uint8Array): { name: string; payload: string } {
  const [short = '', ...rest] = name.split(':')
  if (rest.length === 0) return { name, payload: toHex(payload) }
  return { name: short, payload: toHex(concatBytes(new TextEncoder().encode(`${rest.join(':')}:`), payload)) }
}

/** SHA-384(type as u32 little-endian, ":", name, ":", payload): the log's own digest is not looked at. */
export async function dstackDigest(name: string, payload: Uint8Array): Promise<Uint8Array> {
  const type = new Uint8Array(4)
  new DataView(type.buffer).setUint32(0, DSTACK_RUNTIME_EVENT, true)
  const colon = new Uint8Array([0x3a])
  return await sha384(concatBytes(type, colon, new TextEncoder().encode(name), colon, payload))
}

async function sha384(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-384', toBufferSource(bytes)))
}

/** Little-endian values one after another; each method throws ATTEST_EVIDENCE_MALFORMED at the end. */
class LogReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  get offset(): number {
    return this.#offset
  }

  get isDone(): boolean {
    return this.#offset === this.#bytes.length
  }

  /** Whether only zeros are left. */
  get isBlank(): boolean {
    return this.#bytes.subarray(this.#offset).every((byte) => byte === 0)
  }

  take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#offset) throw malformed('event log', `${length} bytes more`)
    this.#offset += length
    return this.#bytes.subarray(this.#offset - length, this.#offset)
  }

  u16(): number {
    this.take(2)
    return this.#view.getUint16(this.#offset - 2, true)
  }

  u32(): number {
    this.take(4)
    return this.#view.getUint32(this.#offset - 4, true)
  }
}
