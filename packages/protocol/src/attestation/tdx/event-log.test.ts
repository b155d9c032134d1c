/** Logs of genuine machines replay to the RTMRs that their quotes have; changed ones do not. Vectors as in vectors.test.ts. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { toHex } from '../../bytes.ts'
import { appraiseMeasurement, type NamedReference } from './appraise-measurement.ts'
import { dstackDigest, type LoggedEvent, parseEventLog, replay } from './event-log.ts'
import type { RtmrReference } from './policy.ts'
import { parseTdxQuote, type TdReport } from './quote.ts'

const root = process.env.TRUSTED_PODS_VECTORS ?? resolve(import.meta.dirname, '../../../../../../shared/vectors')
const folder = join(root, 'tdx')
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

/** Reference values that know the registers of a quote by value, but one. */
function referencesFor(td: TdReport, register: number, known: RtmrReference): NamedReference[] {
  const of = (i: number): RtmrReference =>
    i === register ? known : { kind: 'values', values: [toHex(td.rtmrs[i] ?? new Uint8Array())] }
  const tdx = {
    mrtd: [toHex(td.mrtd)],
    rtmr: [of(0), of(1), of(2), of(3)] as const,
    mrConfigId: [toHex(td.mrConfigId)],
    mrOwner: [toHex(td.mrOwner)],
    mrOwnerConfig: [toHex(td.mrOwnerConfig)],
  }
  return [{ name: 'reference', tdx }]
}

async function failures(
  td: TdReport,
  known: { register: number; reference: RtmrReference; log?: Uint8Array; format?: string },
) {
  const { register, reference, log, format = 'dstack' } = known
  const checks = await appraiseMeasurement(td, referencesFor(td, register, reference), log && { format, log })
  return checks.filter(({ tier }) => tier !== 'affirming').map(({ code }) => code)
}

/** What the dstack vector says in RTMR3, by name. */
async function toldEvents(): Promise<Map<string, 'any' | readonly string[]>> {
  const events = await parseEventLog('dstack', readDstack())
  return new Map(events.flatMap(({ told }) => (told ? [[told.name, [told.payload]] as [string, string[]]] : [])))
}

test('RTMR3 is known by what its events say, all of them and no other', { skip }, async () => {
  const td = readTd('v4-90c06f-dstack-lite')
  const told = await toldEvents()
  const log = readDstack()
  const judge = (events: ReadonlyMap<string, 'any' | readonly string[]>, given: Uint8Array | undefined = log) =>
    failures(td, { register: 3, reference: { kind: 'events', events }, ...(given && { log: given }) })
  assert.deepEqual(await judge(told), [])
  assert.deepEqual(await judge(new Map([...told, ['compose-hash', 'any' as const]])), [])
  assert.deepEqual(await judge(new Map([...told, ['compose-hash', ['00']]])), ['measurement.rtmr'])
  assert.deepEqual(await judge(new Map([...told, ['compose-hash', []]])), ['measurement.rtmr'])
  assert.deepEqual(await judge(new Map([...told, ['another', 'any' as const]])), ['measurement.rtmr'])
  assert.deepEqual(await judge(new Map([...told].slice(1))), ['measurement.rtmr'])
  assert.deepEqual(await judge(new Map()), ['measurement.rtmr'])
  const without = await failures(td, { register: 3, reference: { kind: 'events', events: told } })
  assert.deepEqual(without, ['measurement.rtmr', 'measurement.event-log'])
})

test('a log that does not replay is refused, and vouches for nothing', { skip }, async () => {
  const td = readTd('v4-90c06f-dstack-lite')
  const document = JSON.parse(new TextDecoder().decode(readDstack())) as { event_log: object[] }
  const shorter = new TextEncoder().encode(JSON.stringify(document.event_log.slice(0, -1)))
  const reference: RtmrReference = { kind: 'events', events: await toldEvents() }
  assert.deepEqual(await failures(td, { register: 3, reference, log: shorter }), [
    'measurement.rtmr',
    'measurement.event-log',
  ])
  assert.deepEqual(await failures(td, { register: 3, reference, log: new Uint8Array([1]) }), [
    'measurement.rtmr',
    'measurement.event-log',
  ])
})

test('a register is known by the digests of its events in a CCEL log', { skip }, async () => {
  const td = readTd('v4-00806f05-gcp-cos113')
  const log = readCcel()
  const digests = (await parseEventLog('ccel', log))
    .filter(({ register }) => register === 2)
    .map(({ digest }) => toHex(digest))
  const judge = (known: string[]) =>
    failures(td, { register: 2, reference: { kind: 'digests', digests: known }, log, format: 'ccel' })
  assert.deepEqual(await judge(digests), [])
  assert.deepEqual(await judge(digests.filter((digest) => digest !== digests[0])), ['measurement.rtmr'])
  assert.deepEqual(await judge([]), ['measurement.rtmr'])
})
