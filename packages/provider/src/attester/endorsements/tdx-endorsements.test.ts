/** Collateral of a genuine TDX quote from a server that speaks Intel's URL forms and headers, with the recorded documents. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fromDcapCollateral } from '@trusted-pods/protocol/attestation/tdx/dcap-collateral.ts'
import {
  type Fault,
  type RecordedAnswer,
  startEndorsementServer,
} from '../../../../../test/support/endorsement-server.ts'
import { memoryLog } from '../../../../../test/support/memory-log.ts'
import { SHARED_VECTORS } from '../../../../../test/support/vectors/shared-vectors.ts'
import { openEndorsements } from './endorsements.ts'

const folder = join(SHARED_VECTORS, 'tdx')
const isThere = existsSync(folder)
const skip = isThere ? false : `no vectors at ${folder}: set TRUSTED_PODS_VECTORS`

const NOW = new Date('2026-03-20T00:00:00Z')
const TDX = { type: 'tdx' } as const
const TCB = '/tdx/certification/v4/tcb?fmspc=90c06f000000'
const QE = '/tdx/certification/v4/qe/identity'
const PCK_CRL = '/sgx/certification/v4/pckcrl?ca=platform&encoding=der'
const ROOT_CRL = '/IntelSGXRootCA.der'

const quote = isThere ? new Uint8Array(readFileSync(join(folder, 'real/v4-90c06f-azure.quote.bin'))) : new Uint8Array()
type Recorded = Record<string, string>
const recorded = isThere
  ? (JSON.parse(readFileSync(join(folder, 'collateral/90c06f-2026-03.json'), 'utf8')) as Recorded)
  : {}
const text = (name: string) => recorded[name] ?? ''
const hex = (name: string) => new Uint8Array(Buffer.from(text(name), 'hex'))
const chain = (name: string) => encodeURIComponent(text(name))
const JSON_TYPE = { 'content-type': 'application/json' }

const tcbInfo: RecordedAnswer = {
  body: `{"tcbInfo":${text('tcb_info')},"signature":"${text('tcb_info_signature')}"}`,
  headers: { ...JSON_TYPE, 'TCB-Info-Issuer-Chain': chain('tcb_info_issuer_chain') },
}
const qeIdentity: RecordedAnswer = {
  body: `{"enclaveIdentity":${text('qe_identity')},"signature":"${text('qe_identity_signature')}"}`,
  headers: { ...JSON_TYPE, 'SGX-Enclave-Identity-Issuer-Chain': chain('qe_identity_issuer_chain') },
}
const ANSWERS: [string, RecordedAnswer][] = [
  [TCB, tcbInfo],
  [QE, qeIdentity],
  [PCK_CRL, { body: hex('pck_crl'), headers: { 'content-type': 'application/pkix-crl' } }],
  [ROOT_CRL, { body: hex('root_ca_crl'), headers: { 'content-type': 'application/octet-stream' } }],
]

async function makePlace(t: TestContext) {
  const server = await startEndorsementServer(ANSWERS)
  const state = await mkdtemp(join(tmpdir(), 'tp-endorsements-'))
  const clock = { now: NOW }
  const urls = { kds: server.url, pcs: server.url, intelRootCrl: `${server.url}${ROOT_CRL}` }
  t.after(async () => {
    await server[Symbol.asyncDispose]()
    await rm(state, { recursive: true })
  })
  const open = () => {
    const options = { folder: state, log: memoryLog(), urls, clock: () => clock.now, timeoutMs: 500 }
    const endorsements = openEndorsements(options)
    t.after(() => endorsements[Symbol.asyncDispose]())
    return endorsements
  }
  return { server, clock, open }
}

test('collateral and lists come from the URLs of the quote, byte for byte as they were signed, once', {
  skip,
}, async (t) => {
  const { server, open } = await makePlace(t)
  const endorsements = open()
  const stapled = await endorsements.staple(quote, TDX)
  assert.deepEqual(stapled, { certificates: [], ...fromDcapCollateral(recorded) })
  assert.deepEqual(server.requests.toSorted(), [TCB, QE, PCK_CRL, ROOT_CRL].toSorted())
  assert.deepEqual(await endorsements.staple(quote, TDX), stapled)
  assert.deepEqual(await open().staple(quote, TDX), stapled)
  assert.equal(server.requests.length, 4)
})

const tampered = { ...tcbInfo, body: String(tcbInfo.body).replace('UpToDate', 'OutOfDat') }
const FAULTS: [string, string, Fault][] = [
  ['429 for TCB info', TCB, { kind: 'status', status: 429, retryAfter: '5' }],
  ['500 for TCB info', TCB, { kind: 'status', status: 500 }],
  ['no answer for TCB info', TCB, { kind: 'hang' }],
  ['half of the TCB info', TCB, { kind: 'cut' }],
  ['a page for people in place of the TCB info', TCB, { kind: 'page' }],
  ['TCB info without its chain', TCB, { kind: 'answer', answer: { ...tcbInfo, headers: JSON_TYPE } }],
  [
    'TCB info with a broken chain',
    TCB,
    { kind: 'answer', answer: { ...tcbInfo, headers: { ...JSON_TYPE, 'TCB-Info-Issuer-Chain': '%E0%A4%A' } } },
  ],
  ['TCB info that was changed', TCB, { kind: 'answer', answer: tampered }],
  ['the QE identity in place of the TCB info', TCB, { kind: 'answer', answer: qeIdentity }],
  ['JSON of another form for the QE identity', QE, { kind: 'answer', answer: { ...qeIdentity, body: '{}' } }],
  ['no QE identity', QE, { kind: 'status', status: 404 }],
]

for (const [name, path, fault] of FAULTS) {
  test(`${name} gives no evidence now and is made good later`, { skip }, async (t) => {
    const { server, clock, open } = await makePlace(t)
    const endorsements = open()
    server.faults.set(path, fault)
    await assert.rejects(endorsements.staple(quote, TDX), { code: 'ATTEST_UNAVAILABLE', message: /fetched again/ })
    server.faults.clear()
    clock.now = new Date(NOW.getTime() + 61_000)
    assert.equal((await endorsements.staple(quote, TDX)).collateral.length, 2)
  })
}

test('collateral that has ended is not taken', { skip }, async (t) => {
  const { clock, open } = await makePlace(t)
  clock.now = new Date('2026-06-01T00:00:00Z')
  await assert.rejects(open().staple(quote, TDX), { code: 'ATTEST_UNAVAILABLE' })
})

test('a list of another authority, or changed, is not stapled; the rest is', { skip }, async (t) => {
  const { server, open } = await makePlace(t)
  const changed = hex('root_ca_crl').map((byte, i, { length }) => (i === length - 1 ? byte ^ 1 : byte))
  server.faults.set(PCK_CRL, { kind: 'answer', answer: { body: hex('root_ca_crl') } })
  server.faults.set(ROOT_CRL, { kind: 'answer', answer: { body: changed } })
  const stapled = await open().staple(quote, TDX)
  assert.deepEqual(stapled.crls, [])
  assert.equal(stapled.collateral.length, 2)
})

test('what is no quote is refused', { skip }, async (t) => {
  const { open } = await makePlace(t)
  await assert.rejects(open().staple(quote.subarray(0, 600), TDX), { code: 'ATTEST_UNAVAILABLE' })
})
