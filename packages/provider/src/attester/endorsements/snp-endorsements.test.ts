/** Endorsements of an SNP report from a server that speaks AMD's URL forms, with the vectors' certificates and lists. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as nextTurn } from 'node:timers/promises'
import { equalBytes, toHex } from '@trusted-pods/protocol/bytes.ts'
import {
  type EndorsementServer,
  type Fault,
  type RecordedAnswer,
  startEndorsementServer,
} from '../../../../../test/support/endorsement-server.ts'
import { memoryLog } from '../../../../../test/support/memory-log.ts'
import { SHARED_VECTORS } from '../../../../../test/support/vectors/shared-vectors.ts'
import { toPem } from '../pem.ts'
import { openEndorsements } from './endorsements.ts'
import type { Stapled } from './stapled.ts'

const vectors = resolve(import.meta.dirname, '../../../../../test/vectors/snp')
const read = (name: string) => new Uint8Array(readFileSync(join(vectors, name)))
const NOW = new Date('2026-06-01T00:00:00Z')
const report = read('ok-vcek.report.bin')
const vlekReport = read('ok-vlek.report.bin')
const [vcek, vlek, ask, asvk, ark, crl] = ['vcek', 'vlek', 'ask', 'asvk', 'ark', 'crl'].map((n) =>
  read(`milan.${n}.der`),
)
assert.ok(vcek && vlek && ask && asvk && ark && crl)

const CHIP = toHex(report.subarray(0x1a0, 0x1e0))
const VCEK = `/vcek/v1/Milan/${CHIP}?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219`
const CHAIN = '/vcek/v1/Milan/cert_chain'
const CRL = '/vcek/v1/Milan/crl'

const DER = { 'content-type': 'application/octet-stream' }
const PEM = { 'content-type': 'application/x-pem-file' }
const ANSWERS: [string, RecordedAnswer][] = [
  [VCEK, { body: vcek, headers: DER }],
  [CHAIN, { body: toPem(ask, ark), headers: PEM }],
  [CRL, { body: crl, headers: { 'content-type': 'application/pkix-crl' } }],
  ['/vlek/v1/Milan/cert_chain', { body: toPem(asvk, ark), headers: PEM }],
  ['/vlek/v1/Milan/crl', { body: crl, headers: { 'content-type': 'application/pkix-crl' } }],
]

interface Place {
  server: EndorsementServer
  folder: string
  clock: { now: Date }
  open(): ReturnType<typeof openEndorsements>
}

async function makePlace(t: TestContext): Promise<Place> {
  const server = await startEndorsementServer(ANSWERS)
  const folder = await mkdtemp(join(tmpdir(), 'tp-endorsements-'))
  const clock = { now: NOW }
  const log = memoryLog()
  const urls = { kds: server.url, pcs: server.url, intelRootCrl: `${server.url}/root.crl` }
  t.after(async () => {
    await server[Symbol.asyncDispose]()
    await rm(folder, { recursive: true })
  })
  const open = () => {
    const endorsements = openEndorsements({ folder, log, urls, clock: () => clock.now, timeoutMs: 500 })
    t.after(() => endorsements[Symbol.asyncDispose]())
    return endorsements
  }
  return { server, folder, clock, open }
}

const SNP = { type: 'snp' } as const

test('VCEK, chain and list come from the URLs of the report, once, and a restart needs none of them', async (t) => {
  const { server, folder, open } = await makePlace(t)
  const endorsements = open()
  const stapled = await endorsements.staple(report, SNP)
  assert.deepEqual(stapled, { certificates: [vcek, ask, ark], crls: [crl], collateral: [] } satisfies Stapled)
  assert.deepEqual(server.requests, [VCEK, CHAIN, CRL])
  assert.deepEqual(await endorsements.staple(report, SNP), stapled)
  assert.deepEqual(await open().staple(report, SNP), stapled)
  assert.equal(server.requests.length, 3)
  for (const file of readdirSync(folder)) {
    assert.match(file, /^[0-9a-f]{32}\.json$/)
    assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600)
  }
})

test('two at once are one request each', async (t) => {
  const { server, open } = await makePlace(t)
  const endorsements = open()
  await Promise.all([endorsements.staple(report, SNP), endorsements.staple(report, SNP)])
  assert.deepEqual(server.requests, [VCEK, CHAIN, CRL])
})

test("what the host's table has is not fetched", async (t) => {
  const { server, open } = await makePlace(t)
  const stapled = await open().staple(report, { ...SNP, table: { vcek, ask, ark } })
  assert.deepEqual(stapled.certificates, [vcek, ask, ark])
  assert.deepEqual(server.requests, [CRL])
})

test('a certificate of the table that is no VCEK of this chip and firmware is not stapled', async (t) => {
  const { open } = await makePlace(t)
  const endorsements = open()
  for (const wrong of [new Uint8Array([1, 2]), ask, vlek]) {
    const stapled = await endorsements.staple(report, { ...SNP, table: { vcek: wrong, ask, ark } })
    assert.deepEqual(stapled.certificates[0], vcek)
  }
})

test('a VLEK comes from the table alone, its chain and list from its own URLs', async (t) => {
  const { server, open } = await makePlace(t)
  const endorsements = open()
  const stapled = await endorsements.staple(vlekReport, { ...SNP, table: { vlek } })
  assert.deepEqual(stapled.certificates, [vlek, asvk, ark])
  assert.deepEqual(server.requests, ['/vlek/v1/Milan/cert_chain', '/vlek/v1/Milan/crl'])
  await assert.rejects(endorsements.staple(vlekReport, SNP), { code: 'ATTEST_UNAVAILABLE', message: /no VLEK/ })
})

const otherChip = Uint8Array.from(vcek, (byte, i) => (i === vcek.length - 300 ? byte ^ 1 : byte))
const FAULTS: [string, Fault][] = [
  ['429', { kind: 'status', status: 429, retryAfter: '30' }],
  ['500', { kind: 'status', status: 500 }],
  ['404', { kind: 'status', status: 404 }],
  ['no answer', { kind: 'hang' }],
  ['half an answer', { kind: 'cut' }],
  ['a page for people', { kind: 'page' }],
  ['a redirection', { kind: 'redirect' }],
  ['an answer without an end', { kind: 'endless' }],
  ['nothing', { kind: 'answer', answer: { body: '', headers: DER } }],
  ['a page that says it is a certificate', { kind: 'answer', answer: { body: '<html></html>', headers: DER } }],
  ['another certificate', { kind: 'answer', answer: { body: ask, headers: DER } }],
  ['a document cut short', { kind: 'answer', answer: { body: otherChip.subarray(0, 600), headers: DER } }],
]

for (const [name, fault] of FAULTS) {
  test(`${name} in place of the VCEK gives no evidence, is not asked for again at once, and is made good later`, async (t) => {
    const { server, clock, open } = await makePlace(t)
    const endorsements = open()
    server.faults.set(VCEK, fault)
    await assert.rejects(endorsements.staple(report, SNP), { code: 'ATTEST_UNAVAILABLE', message: /no VCEK/ })
    server.faults.clear()
    await assert.rejects(endorsements.staple(report, SNP), { code: 'ATTEST_UNAVAILABLE' })
    assert.equal(server.requests.filter((path) => path === VCEK).length, 1)
    clock.now = new Date(NOW.getTime() + 61_000)
    assert.deepEqual((await endorsements.staple(report, SNP)).certificates, [vcek, ask, ark])
  })
}

test('a server is not asked before the time that it named in Retry-After', async (t) => {
  const { server, clock, open } = await makePlace(t)
  const endorsements = open()
  server.faults.set(VCEK, { kind: 'status', status: 429, retryAfter: '7200' })
  await assert.rejects(endorsements.staple(report, SNP))
  server.faults.clear()
  clock.now = new Date(NOW.getTime() + 7_199_000)
  await assert.rejects(endorsements.staple(report, SNP))
  clock.now = new Date(NOW.getTime() + 7_201_000)
  await endorsements.staple(report, SNP)
  assert.equal(server.requests.filter((path) => path === VCEK).length, 2)
})

const LISTS: [string, RecordedAnswer][] = [
  ['that has ended', { body: read('crl-ends-now.crl.der') }],
  ['by another key', { body: crl.map((byte, i) => (i === crl.length - 9 ? byte ^ 1 : byte)) }],
  ['that is none', { body: 'nothing is revoked' }],
]

for (const [name, answer] of LISTS) {
  test(`a list ${name} is not stapled`, async (t) => {
    const { server, clock, open } = await makePlace(t)
    clock.now = new Date(NOW.getTime() + 1000)
    server.faults.set(CRL, { kind: 'answer', answer })
    assert.deepEqual((await open().staple(report, SNP)).crls, [])
  })
}

/** Looks until it holds; the time-out of the test is the end of it. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await nextTurn(5)
}

test('the old list stays while no new one can be had, across a restart too, and goes when there is one', async (t) => {
  const { server, clock, open } = await makePlace(t)
  const endorsements = open()
  await endorsements.staple(report, SNP)
  clock.now = new Date(NOW.getTime() + 2 * 86_400_000)
  server.faults.set(CRL, { kind: 'status', status: 500 })
  assert.deepEqual((await endorsements.staple(report, SNP)).crls, [crl])
  await until(() => server.requests.length === 4)
  assert.deepEqual((await open().staple(report, SNP)).crls, [crl])
  server.faults.clear()
  const newer = read('vcek-serial-revoked.crl.der')
  server.answers.set(CRL, { body: newer })
  clock.now = new Date(clock.now.getTime() + 120_000)
  await until(async () => equalBytes((await endorsements.staple(report, SNP)).crls[0] ?? crl, newer))
  // It is used before it is on the disk; soon a new process finds it there.
  await until(async () => equalBytes((await open().staple(report, SNP)).crls[0] ?? crl, newer))
})

test('what could not be had is fetched again without anybody asking', async (t) => {
  const { server, folder } = await makePlace(t)
  const log = memoryLog()
  const urls = { kds: server.url, pcs: server.url, intelRootCrl: server.url }
  await using endorsements = openEndorsements({ folder, log, urls, clock: runningClock, retryMs: 10, maxRetryMs: 40 })
  server.faults.set(VCEK, { kind: 'status', status: 503 })
  await assert.rejects(endorsements.staple(report, SNP), { code: 'ATTEST_UNAVAILABLE' })
  await until(() => server.requests.filter((path) => path === VCEK).length >= 3)
  server.faults.clear()
  await until(() => log.entries.some(({ text, fields }) => text === 'endorsement fetched' && fields.name === 'VCEK'))
  assert.deepEqual((await endorsements.staple(report, SNP)).certificates[0], vcek)
  assert.ok(log.entries.some(({ level, fields }) => level === 'warn' && fields.failures === 3))
})

/** A clock that goes on from the time of the vectors. */
const START = performance.now()
const runningClock = () => new Date(NOW.getTime() + performance.now() - START)

test('a file that is broken is as if it were not there', async (t) => {
  const { server, folder, open } = await makePlace(t)
  await open().staple(report, SNP)
  for (const file of readdirSync(folder)) writeFileSync(join(folder, file), '{"parts":[1]}')
  assert.deepEqual((await open().staple(report, SNP)).certificates, [vcek, ask, ark])
  assert.equal(server.requests.length, 6)
})

const turin = join(SHARED_VECTORS, 'snp/real/turin-v5-ms.report.bin')

test('on Turin the URL has 8 bytes of the chip id and the FMC', {
  skip: !existsSync(turin) && 'no vectors',
}, async (t) => {
  const { server, open } = await makePlace(t)
  await assert.rejects(open().staple(new Uint8Array(readFileSync(turin)), SNP), { code: 'ATTEST_UNAVAILABLE' })
  assert.match(
    server.requests[0] ?? '',
    /^\/vcek\/v1\/Turin\/59790fb1c39f35c1\?fmcSPL=1&blSPL=\d+&teeSPL=\d+&snpSPL=\d+&ucodeSPL=\d+$/,
  )
})
