/** Logs of genuine machines replay to the RTMRs that their quotes have; changed ones do not. Vectors as in vectors.test.ts. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { SHARED_VECTORS } from '../../../../../test/support/vectors/shared-vectors.ts'
import { toHex } from '../../bytes.ts'
import { dstackDigest, type LoggedEvent, parseEventLog, replay, trimCcel } from './event-log.ts'
import { parseTdxQuote, type TdReport } from './quote.ts'

const folder = join(SHARED_VECTORS, 'tdx')
const isThere = existsSync(join(folder, 'eventlog'))
const skip = isThere ? false : `no vectors at ${folder}: set TRUSTED_PODS_VECTORS`
const MALFORMED = { code: 'ATTEST_EVIDENCE_MALFORMED' }

function read(path: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, path)))
}

function readTd(name: string): TdReport {
  const { quote } = parseTdxQuote(read(`real/${name}.quote.bin`))
  assert.ok(quote)
  return quote.td
}

const readCcel = () => read('eventlog/v4-00806f05-gcp-cos113.ccel.bin')
const readDstack = () => read('eventlog/v4-90c06f-dstack-lite.events.json')

async function matching(td: TdReport, events: readonly LoggedEvent[]): Promise<boolean[]> {
  return await Promise.all(td.rtmrs.map(async (rtmr, i) => toHex(await replay(events, i)) === toHex(rtmr)))
}

test('a CCEL log replays to RTMR0 to RTMR2', { skip }, async () => {
  const events = await parseEventLog('ccel', readCcel())
  assert.equal(events.length, 43)
  assert.deepEqual((await matching(readTd('v4-00806f05-gcp-cos113'), events)).slice(0, 3), [true, true, true])
})

test('a dstack log replays to all RTMRs, its own events by what they say', { skip }, async () => {
  const events = await parseEventLog('dstack', readDstack())
  assert.equal(events.length, 29)
  assert.deepEqual(await matching(readTd('v4-90c06f-dstack-lite'), events), [true, true, true, true])
  assert.ok(events.some(({ told }) => told?.name === 'compose-hash'))
})

test('the digest that a dstack event claims for itself is not looked at', { skip }, async () => {
  const document = JSON.parse(new TextDecoder().decode(readDstack())) as { event_log: Record<string, unknown>[] }
  const last = document.event_log.at(-1)
  assert.ok(last)
  last.digest = toHex(await dstackDigest('system-ready', new Uint8Array()))
  last.event = 'compose-hash'
  const events = await parseEventLog('dstack', new TextEncoder().encode(JSON.stringify(document.event_log)))
  assert.equal((await matching(readTd('v4-90c06f-dstack-lite'), events))[3], false)
})

test('an event that could be told in two ways is told in one', async () => {
  const read = async (event: string, payload: string) => {
    const entry = { imr: 3, event_type: 0x08000001, event, event_payload: Buffer.from(payload).toString('hex') }
    const [found] = await parseEventLog('dstack', new TextEncoder().encode(JSON.stringify([entry])))
    assert.ok(found)
    return found
  }
  const honest = await read('note', 'compose-hash:1234')
  const forged = await read('note:compose-hash', '1234')
  assert.deepEqual(forged.digest, honest.digest)
  assert.deepEqual(forged.told, honest.told)
  assert.equal(honest.told?.name, 'note')
})

test('a CCEL log cut at any length is refused, or has fewer events', { skip }, async () => {
  const log = readCcel()
  const used = log.length - 64
  for (let length = 0; length < used; length++) {
    const cut = await parseEventLog('ccel', log.subarray(0, length)).catch((error: unknown) => {
      assert.equal((error as { code?: string }).code, MALFORMED.code)
      return []
    })
    assert.ok(cut.length < 43, `cut to ${length}`)
  }
})

/** A log of one event, in the smallest form: an empty header, then a separator in RTMR0. */
function smallCcel(): Uint8Array {
  const log = new Uint8Array(32 + 12 + 2 + 48 + 4)
  const view = new DataView(log.buffer)
  view.setUint32(4, 3, true) // The header's type: EV_NO_ACTION.
  view.setUint32(32, 1, true)
  view.setUint32(36, 4, true) // EV_SEPARATOR
  view.setUint32(40, 1, true)
  view.setUint16(44, 0x000c, true)
  return log
}

test('memory behind the last event of a CCEL log is of ones, or of zeros as td-shim leaves it', async () => {
  const log = smallCcel()
  for (const [fill, length] of [
    [0xff, 16],
    [0, 4],
    [0, 16],
    [0, 17],
  ] as const) {
    const filled = new Uint8Array(log.length + length).fill(fill)
    filled.set(log)
    assert.equal((await parseEventLog('ccel', filled)).length, 1)
    assert.deepEqual(trimCcel(filled), log)
  }
})

test('zeros with an event behind them are no end of a CCEL log', async () => {
  const log = smallCcel()
  const gap = new Uint8Array(log.length + 16 + 66)
  gap.set(log)
  gap.set(log.subarray(32), log.length + 16)
  await assert.rejects(parseEventLog('ccel', gap), MALFORMED)
})

test('logs of wrong form are refused with ATTEST_EVIDENCE_MALFORMED', { skip }, async () => {
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
  const good = { imr: 0, event_type: 1, digest: '00'.repeat(48), event: '', event_payload: '' }
  const wrong: unknown[] = [
    {},
    7,
    null,
    [7],
    [{ ...good, imr: 4 }],
    [{ ...good, event_type: -1 }],
    [{ ...good, digest: '00' }],
    [{ ...good, event_type: 0x08000001, event: 1 }],
    [{ ...good, event_type: 0x08000001, event_payload: 'xy' }],
    Array.from({ length: 1025 }, () => good),
  ]
  for (const value of wrong) await assert.rejects(parseEventLog('dstack', text(value)), MALFORMED)
  await assert.rejects(parseEventLog('dstack', new Uint8Array([0xff])), MALFORMED)
  await assert.rejects(parseEventLog('tcg', readCcel()), MALFORMED)
  const foreign = readCcel()
  foreign[32 + 33] = 5 // The register of the first event: RTMR4 is none.
  await assert.rejects(parseEventLog('ccel', foreign), MALFORMED)
})

test('any bytes are a log or refused with ATTEST_EVIDENCE_MALFORMED', async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('ccel', 'dstack'), fc.uint8Array({ maxLength: 400 }), async (format, log) => {
      await parseEventLog(format, log).catch((error: unknown) =>
        assert.equal((error as { code?: string }).code, MALFORMED.code),
      )
    }),
  )
})
