/** The attester against a kernel that behaves as configfs-tsm does and signs with the simulated attester's keys. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { concatBytes, fromHex } from '@trusted-pods/protocol/bytes.ts'
import { type CertificateTable, readCertificateTable, tableChain } from './certificate-table.ts'
import { openConfigfsAttester, type TsmFiles } from './configfs-tsm.ts'
import type { Endorsements } from './endorsements/endorsements.ts'
import { openSimulatedAttester, type SimulatedAttester } from './simulated.ts'

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

/** The kernel's side: entries with a generation that rises with each write, reports made when outblob is read. */
class Kernel implements TsmFiles {
  readonly provider: string
  /** Someone else's write between ours and the read of the report. */
  intrudes = false
  hasTable = true
  readonly entries = new Map<string, { generation: number; inblob?: Uint8Array }>()

  constructor(provider: string) {
    this.provider = provider
  }

  mkdir(path: string): Promise<void> {
    if (dirname(path) !== ROOT || this.entries.has(path)) return Promise.reject(new Error('EEXIST'))
    this.entries.set(path, { generation: 0 })
    return Promise.resolve()
  }

  readdir(): Promise<string[]> {
    return Promise.resolve(['generation', 'inblob', 'outblob', 'provider', ...(this.hasTable ? ['auxblob'] : [])])
  }

  rmdir(path: string): Promise<void> {
    return this.entries.delete(path) ? Promise.resolve() : Promise.reject(new Error('ENOENT'))
  }

  writeFile(path: string, bytes: Uint8Array): Promise<void> {
    const entry = this.entries.get(dirname(path))
    if (!entry || basename(path) !== 'inblob' || bytes.length > 64) return Promise.reject(new Error('EINVAL'))
    entry.inblob = bytes.slice()
    entry.generation += this.intrudes ? 2 : 1
    return Promise.resolve()
  }

  async readFile(path: string): Promise<Uint8Array> {
    const entry = this.entries.get(dirname(path))
    if (!entry) throw new Error('ENOENT')
    const text = (value: unknown) => new TextEncoder().encode(`${value}\n`)
    if (basename(path) === 'provider') return text(this.provider)
    if (basename(path) === 'generation') return text(entry.generation)
    if (!entry.inblob) throw new Error('EINVAL')
    const { report, certificates } = await hardware.quote(entry.inblob)
    return basename(path) === 'outblob' ? report : makeTable(certificates)
  }
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
  const attester = await openConfigfsAttester({ files: kernel })
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
  const attester = await openConfigfsAttester({ files: kernel, endorsements })
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
  const attester = await openConfigfsAttester({ files: kernel })
  assert.equal(attester.evidenceType, 'tdx')
  assert.deepEqual((await attester.quote(new Uint8Array(64))).certificates, [])
})

test('a report that another writer may have asked for is discarded', async () => {
  const kernel = new Kernel('sev_guest')
  const attester = await openConfigfsAttester({ files: kernel })
  kernel.intrudes = true
  await assert.rejects(attester.quote(new Uint8Array(64)), { code: 'ATTEST_UNAVAILABLE', message: /another writer/ })
  assert.equal(kernel.entries.size, 0)
})

test('another provider of the kernel is refused', async () => {
  await assert.rejects(openConfigfsAttester({ files: new Kernel('arm_cca_guest') }), { code: 'ATTEST_UNAVAILABLE' })
})

test('a machine without configfs-tsm is refused', async () => {
  const root = join(tmpdir(), 'no-such-configfs')
  await assert.rejects(openConfigfsAttester({ root }), { code: 'ATTEST_UNAVAILABLE', message: /6\.7/ })
})

test('report data of another length is refused', async () => {
  const attester = await openConfigfsAttester({ files: new Kernel('sev_guest') })
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
