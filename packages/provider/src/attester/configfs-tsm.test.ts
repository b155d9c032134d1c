/** The attester against a kernel that behaves as configfs-tsm does and signs with the simulated attester's keys. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { concatBytes, fromHex } from '@trusted-pods/protocol/bytes.ts'
import { memoryLog } from '../../../../test/support/memory-log.ts'
import { type CertificateTable, readCertificateTable, tableChain } from './certificate-table.ts'
import { openConfigfsAttester } from './configfs-tsm.ts'
import type { Endorsements } from './endorsements/endorsements.ts'
import { openSimulatedAttester, type SimulatedAttester } from './simulated.ts'
import { TSM_PLACE, type TsmFiles, type TsmPlace } from './tsm-report.ts'

const ROOT = '/sys/kernel/config/tsm/report'
/** GHCB specification (AMD 56421) 4.1.8.1; the bytes lie in the order of the text. */
const GUIDS = {
  vcek: '63da758d-e664-4564-adc5-f4b93be8accd',
  ask: '4ab7b379-bbac-4fe4-a02f-05aef327c782',
  ark: 'c0b406a4-a803-4952-9743-3fb6014cd0ae',
}

let stateDir: string
let hardware: SimulatedAttester

before(async () => {
  stateDir = mkdtempSync(join(tmpdir(), 'tp-configfs-'))
  hardware = await openSimulatedAttester({ stateDir })
})

after(() => rmSync(stateDir, { recursive: true }))

interface Entry {
  generation: number
  inblob?: Uint8Array
}

/** The kernel's side: entries with a generation that rises with each write, reports made when outblob is read. */
class Kernel implements TsmFiles {
  readonly provider: string
  hasTable = true
  /** What happens to each next operation on a file, by its name; then all goes well again. */
  readonly failures: { readonly file: string; readonly fail: (entry: Entry) => void }[] = []
  readonly entries = new Map<string, Entry>()
  /** Entries that were ever made. */
  made = 0

  constructor(provider: string) {
    this.provider = provider
  }

  mkdir(path: string): Promise<void> {
    if (dirname(path) !== ROOT || this.entries.has(path)) return Promise.reject(errno('EEXIST'))
    this.entries.set(path, { generation: 0 })
    this.made++
    return Promise.resolve()
  }

  readdir(): Promise<string[]> {
    return Promise.resolve(['generation', 'inblob', 'outblob', 'provider', ...(this.hasTable ? ['auxblob'] : [])])
  }

  rmdir(path: string): Promise<void> {
    return this.entries.delete(path) ? Promise.resolve() : Promise.reject(errno('ENOENT'))
  }

  async writeFile(path: string, bytes: Uint8Array): Promise<void> {
    const entry = this.#open(path)
    if (basename(path) !== 'inblob' || bytes.length > 64) throw errno('EINVAL')
    entry.inblob = bytes.slice()
    entry.generation++
  }

  async readFile(path: string): Promise<Uint8Array> {
    const entry = this.#open(path)
    const text = (value: unknown) => new TextEncoder().encode(`${value}\n`)
    if (basename(path) === 'provider') return text(this.provider)
    if (basename(path) === 'generation') return text(entry.generation)
    if (!entry.inblob) throw errno('EINVAL')
    const { report, certificates } = await hardware.quote(entry.inblob)
    return basename(path) === 'outblob' ? report : makeTable(certificates)
  }

  #open(path: string): Entry {
    const entry = this.entries.get(dirname(path))
    if (!entry) throw errno('ENOENT')
    if (this.failures[0]?.file === basename(path)) this.failures.shift()?.fail(entry)
    return entry
  }
}

function errno(code: string): Error {
  return Object.assign(new Error(code), { code })
}

function failing(code: string): () => never {
  return () => {
    throw errno(code)
  }
}

function placeOf(files: TsmFiles): TsmPlace {
  return { files, root: ROOT }
}

function makeTable(certificates: Uint8Array[]): Uint8Array {
  const guids = [GUIDS.vcek, GUIDS.ask, GUIDS.ark]
  const header = new Uint8Array(24 * (guids.length + 1))
  const view = new DataView(header.buffer)
  let offset = header.length
  certificates.forEach((certificate, i) => {
    header.set(fromHex((guids[i] ?? '').replaceAll('-', '')) ?? [], 24 * i)
    view.setUint32(24 * i + 16, offset, true)
    view.setUint32(24 * i + 20, certificate.length, true)
    offset += certificate.length
  })
  return concatBytes(header, ...certificates)
}

test('a quote is the report over our bytes with the chain of the host, and no entry stays', async () => {
  const kernel = new Kernel('sev_guest')
  const attester = await openConfigfsAttester({ place: placeOf(kernel) })
  assert.equal(attester.evidenceType, 'snp')
  assert.equal(attester.simulated, false)
  const reportData = new Uint8Array(64).fill(9)
  const quote = await attester.quote(reportData)
  const { certificates } = await hardware.quote(reportData)
  assert.deepEqual(quote.report.subarray(0x50, 0x90), reportData)
  assert.deepEqual(quote.certificates, certificates)
  assert.equal(kernel.entries.size, 0)
})

test('what the endorsements give is stapled, for this report and with what the host has', async () => {
  const asked: { report: Uint8Array; table: CertificateTable; type: string }[] = []
  const given = { certificates: [new Uint8Array([1])], crls: [new Uint8Array([2])], collateral: [] }
  const endorsements: Pick<Endorsements, 'staple'> = {
    staple: (report, { type, table = {} }) => {
      asked.push({ report, type, table })
      return Promise.resolve(given)
    },
  }
  const kernel = new Kernel('sev_guest')
  const attester = await openConfigfsAttester({ place: placeOf(kernel), endorsements })
  const { report, ...stapled } = await attester.quote(new Uint8Array(64))
  assert.deepEqual(stapled, given)
  assert.deepEqual(
    asked.map((one) => [one.report, one.type, Object.keys(one.table)]),
    [[report, 'snp', ['vcek', 'ask', 'ark']]],
  )
  kernel.hasTable = false
  await attester.quote(new Uint8Array(64))
  assert.deepEqual(asked[1]?.table, {})
})

test('a TDX guest is known by its provider and staples no table', async () => {
  const kernel = new Kernel('tdx_guest')
  kernel.hasTable = false
  const attester = await openConfigfsAttester({ place: placeOf(kernel) })
  assert.equal(attester.evidenceType, 'tdx')
  assert.deepEqual((await attester.quote(new Uint8Array(64))).certificates, [])
})

const PASSING: Record<string, Kernel['failures']> = {
  'another writer before the report': [{ file: 'outblob', fail: (entry) => entry.generation++ }],
  'another writer after the report': [{ file: 'auxblob', fail: (entry) => entry.generation++ }],
  'a write that the kernel dropped': [{ file: 'inblob', fail: (entry) => entry.generation-- }],
  "a write that the kernel dropped, and another writer's that counts for it": [
    { file: 'outblob', fail: (entry) => void Object.assign(entry, { inblob: new Uint8Array(64).fill(1) }) },
  ],
  'EWOULDBLOCK: written to since the report was made': [{ file: 'outblob', fail: failing('EAGAIN') }],
  'EWOULDBLOCK on the certificate table': [{ file: 'auxblob', fail: failing('EAGAIN') }],
  'EBUSY: a quote is under way': [{ file: 'outblob', fail: failing('EBUSY') }],
  'EINTR on the write': [{ file: 'inblob', fail: failing('EINTR') }],
}

for (const [what, failures] of Object.entries(PASSING)) {
  test(`${what}: it is asked for again, in a new entry`, async () => {
    const kernel = new Kernel('sev_guest')
    const attester = await openConfigfsAttester({ place: placeOf(kernel) })
    kernel.failures.push(...failures)
    const reportData = new Uint8Array(64).fill(9)
    const { report } = await attester.quote(reportData)
    assert.deepEqual(report.subarray(0x50, 0x90), reportData)
    assert.deepEqual(kernel.failures, [])
    assert.equal(kernel.made, 2 + failures.length)
    assert.equal(kernel.entries.size, 0)
  })
}

test('a kernel that stays busy is given up on, with the reason', async () => {
  const kernel = new Kernel('sev_guest')
  const attester = await openConfigfsAttester({ place: placeOf(kernel) })
  kernel.failures.push(...Array.from({ length: 7 }, () => ({ file: 'outblob', fail: failing('EBUSY') })))
  await assert.rejects(attester.quote(new Uint8Array(64)), {
    code: 'ATTEST_UNAVAILABLE',
    message: 'the kernel is busy (EBUSY); tried 7 times',
  })
  assert.equal(kernel.entries.size, 0)
})

test('waiting for a busy kernel ends with the signal', async () => {
  const kernel = new Kernel('sev_guest')
  const attester = await openConfigfsAttester({ place: placeOf(kernel) })
  const stop = new AbortController()
  const fail = () => {
    stop.abort(new Error('enough'))
    throw errno('EBUSY')
  }
  kernel.failures.push({ file: 'outblob', fail })
  await assert.rejects(attester.quote(new Uint8Array(64), { signal: stop.signal }), /enough/)
  assert.equal(kernel.entries.size, 0)
})

test('a report that is too large for the kernel is an error at once', async () => {
  const kernel = new Kernel('sev_guest')
  const attester = await openConfigfsAttester({ place: placeOf(kernel) })
  kernel.failures.push({ file: 'outblob', fail: failing('EFBIG') })
  await assert.rejects(attester.quote(new Uint8Array(64)), { code: 'ATTEST_UNAVAILABLE', message: /EFBIG/ })
  assert.deepEqual([kernel.made, kernel.entries.size], [2, 0])
})

test('a certificate table that is too large is told and replaced by what is fetched', async () => {
  const kernel = new Kernel('sev_guest')
  const given = { certificates: [new Uint8Array([1])], crls: [], collateral: [] }
  const tables: CertificateTable[] = []
  const endorsements: Pick<Endorsements, 'staple'> = {
    staple: (_, { table = {} }) => {
      tables.push(table)
      return Promise.resolve(given)
    },
  }
  const log = memoryLog()
  const attester = await openConfigfsAttester({ place: placeOf(kernel), endorsements, log })
  kernel.failures.push({ file: 'auxblob', fail: failing('EFBIG') })
  assert.deepEqual((await attester.quote(new Uint8Array(64))).certificates, given.certificates)
  assert.deepEqual(tables, [{}])
  assert.ok(log.entries.some(({ level, text }) => level === 'warn' && text.includes('too large')))
})

test('many publishers at once each get the report of their own data', async () => {
  const kernel = new Kernel('sev_guest')
  const attester = await openConfigfsAttester({ place: placeOf(kernel) })
  const data = Array.from({ length: 16 }, (_, i) => new Uint8Array(64).fill(i))
  const quotes = await Promise.all(data.map((one) => attester.quote(one)))
  assert.deepEqual(
    quotes.map(({ report }) => report.slice(0x50, 0x90)),
    data,
  )
})

test('the platform id is read from one report, and is the one that a verifier reads', async () => {
  const kernel = new Kernel('sev_guest')
  const attester = await openConfigfsAttester({ place: placeOf(kernel) })
  assert.deepEqual(await attester.findPlatformId(), hardware.platformId)
  const { made } = kernel
  assert.deepEqual(await attester.findPlatformId(), hardware.platformId)
  assert.equal(kernel.made, made)
})

test('a platform id that could not be read is looked for again', async () => {
  const kernel = new Kernel('sev_guest')
  const attester = await openConfigfsAttester({ place: placeOf(kernel) })
  kernel.failures.push({ file: 'outblob', fail: failing('EFBIG') })
  await assert.rejects(attester.findPlatformId(), { code: 'ATTEST_UNAVAILABLE' })
  assert.deepEqual(await attester.findPlatformId(), hardware.platformId)
})

test('another provider of the kernel is refused', async () => {
  await assert.rejects(openConfigfsAttester({ place: placeOf(new Kernel('arm_cca_guest')) }), {
    code: 'ATTEST_UNAVAILABLE',
  })
})

test('a machine without configfs-tsm is refused', async () => {
  const root = join(tmpdir(), 'no-such-configfs')
  await assert.rejects(openConfigfsAttester({ place: { ...TSM_PLACE, root } }), {
    code: 'ATTEST_UNAVAILABLE',
    message: /6\.7/,
  })
})

test('report data of another length is refused', async () => {
  const attester = await openConfigfsAttester({ place: placeOf(new Kernel('sev_guest')) })
  await assert.rejects(attester.quote(new Uint8Array(65)), { code: 'ATTEST_UNAVAILABLE' })
})

test('a certificate table cut at any length is refused, and so is an entry that points outside', async () => {
  const { certificates } = await hardware.quote(new Uint8Array(64))
  const table = makeTable(certificates)
  assert.deepEqual(tableChain(readCertificateTable(table)), certificates)
  for (let length = 0; length < table.length; length++) {
    assert.throws(() => tableChain(readCertificateTable(table.slice(0, length))), { code: 'ATTEST_UNAVAILABLE' })
  }
  new DataView(table.buffer).setUint32(16, 0xffffffff, true)
  assert.throws(() => readCertificateTable(table), { code: 'ATTEST_UNAVAILABLE', message: /broken/ })
})
