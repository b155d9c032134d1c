/** Which stacks are known: all values of one entry, by value or by the event log. Vectors as in vectors.test.ts. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { SHARED_VECTORS } from '../../../../../test/support/vectors/shared-vectors.ts'
import { toHex } from '../../bytes.ts'
import { appraiseMeasurement, type NamedReference } from './appraise-measurement.ts'
import { parseEventLog } from './event-log.ts'
import type { RtmrReference, TdxReference } from './policy.ts'
import { parseTdxQuote, type TdReport } from './quote.ts'

const folder = join(SHARED_VECTORS, 'tdx')
const isThere = existsSync(join(folder, 'eventlog'))
const skip = isThere ? false : `no vectors at ${folder}: set TRUSTED_PODS_VECTORS`

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

test('a register without an event is known by its value only', { skip }, async () => {
  const td = readTd('v4-00806f05-gcp-cos113')
  const log = readCcel()
  const judge = (reference: RtmrReference) => failures(td, { register: 3, reference, log, format: 'ccel' })
  assert.ok(td.rtmrs[3].every((byte) => byte === 0))
  assert.deepEqual(await judge({ kind: 'values', values: ['00'.repeat(48)] }), [])
  assert.deepEqual(await judge({ kind: 'digests', digests: [] }), ['measurement.rtmr'])
  assert.deepEqual(await judge({ kind: 'digests', digests: ['11'.repeat(48)] }), ['measurement.rtmr'])
  assert.deepEqual(await judge({ kind: 'events', events: new Map() }), ['measurement.rtmr'])
})

const OTHER = '11'.repeat(48)
const OTHER_VALUE: RtmrReference = { kind: 'values', values: [OTHER] }

test('values of two known stacks are not those of one', { skip }, async () => {
  const td = readTd('v4-00806f05-gcp-cos113')
  const [{ tdx: reference } = {}] = referencesFor(td, 0, { kind: 'values', values: [toHex(td.rtmrs[0])] })
  assert.ok(reference)
  const [r0, r1, r2, r3] = reference.rtmr
  const judge = async (...stacks: Partial<TdxReference>[]) => {
    const references = stacks.map((stack, i) => ({ name: `stack ${i}`, tdx: { ...reference, ...stack } }))
    const checks = await appraiseMeasurement(td, references, undefined)
    return checks.filter(({ tier }) => tier !== 'affirming').map(({ code }) => code)
  }
  const all = ['measurement.unknown', 'measurement.rtmr', 'measurement.config-id', 'measurement.owner']
  assert.deepEqual(await judge({}), [])
  assert.deepEqual(await judge({ mrtd: [OTHER] }, {}), [])
  assert.deepEqual(await judge({ mrOwner: [OTHER] }, {}), [])
  assert.deepEqual(await judge(), all)
  assert.deepEqual(await judge({ mrtd: [] }), all)
  assert.deepEqual(await judge({ mrtd: [OTHER] }), all)
  assert.deepEqual(await judge({ rtmr: [r0, r1, r2, OTHER_VALUE] }), ['measurement.rtmr'])
  assert.deepEqual(await judge({ rtmr: [r0, { kind: 'values', values: [] }, r2, r3] }), ['measurement.rtmr'])
  assert.deepEqual(await judge({ rtmr: [OTHER_VALUE, r1, r2, r3] }, { mrtd: [OTHER] }), ['measurement.rtmr'])
  assert.deepEqual(await judge({ mrConfigId: [] }, { mrtd: [OTHER] }), ['measurement.config-id'])
  assert.deepEqual(await judge({ mrConfigId: [OTHER] }, { mrOwner: [OTHER], mrConfigId: [OTHER] }), [
    'measurement.config-id',
  ])
  assert.deepEqual(await judge({ mrOwner: [OTHER] }), ['measurement.owner'])
  assert.deepEqual(await judge({ mrOwnerConfig: [OTHER] }), ['measurement.owner'])
})

test('a stack that is known on SNP only is not known on TDX', { skip }, async () => {
  const checks = await appraiseMeasurement(readTd('v4-00806f05-gcp-cos113'), [{ name: 'snp only' }], undefined)
  assert.equal(checks[0]?.tier, 'contraindicated')
})
