/** Chains under a trusted development root with one thing wrong each, before the genuine verifier. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { appraiseSnp } from '@trusted-pods/protocol/attestation/snp/appraise-snp.ts'
import { STRICT_SNP_POLICY } from '@trusted-pods/protocol/attestation/snp/policy.ts'
import { SIMULATION_MEASUREMENT, SIMULATION_ORGANIZATION } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { sha256, toHex } from '@trusted-pods/protocol/bytes.ts'
import {
  authorityExtensions,
  extension,
  issueCertificate,
  issueCrl,
  simulationMark,
  vcekExtensions,
} from './development-certificate.ts'
import { SIMULATED_TCB } from './development-root.ts'
import { makeSimulatedReport } from './simulated-report.ts'

const NOW = new Date('2027-01-15T12:00:00Z')
const DAY_MS = 86_400_000
const days = (count: number) => new Date(NOW.getTime() + count * DAY_MS)

const rootPair = generateKeyPairSync('rsa', { modulusLength: 4096 })
const intermediatePair = generateKeyPairSync('rsa', { modulusLength: 4096 })
const leafPair = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const weakPair = generateKeyPairSync('rsa', { modulusLength: 2048 })
const chipId = new Uint8Array(64).fill(5)
const reportData = new Uint8Array(64).fill(6)

const rootName = { organization: SIMULATION_ORGANIZATION, commonName: 'ARK-SIM' }
const intermediateName = { organization: SIMULATION_ORGANIZATION, commonName: 'ASK-SIM' }
const leafName = { organization: SIMULATION_ORGANIZATION, commonName: 'VCEK-SIM' }

const ROOT = [...authorityExtensions({ signsLists: true }), simulationMark()]
const INTERMEDIATE = [...authorityExtensions({ pathLength: 0, signsLists: false }), simulationMark()]
const LEAF = [...vcekExtensions({ productName: 'Simulated', tcb: SIMULATED_TCB, hwid: chipId }), simulationMark()]

interface Variant {
  root?: Uint8Array[]
  intermediate?: Uint8Array[]
  leaf?: Uint8Array[]
  leafIssuer?: typeof intermediateName
  intermediateSigner?: KeyObject
  intermediateKeys?: { publicKey: KeyObject; privateKey: KeyObject }
  rootEnds?: Date
  crl?: { signer?: KeyObject; issuer?: typeof rootName; thisUpdate?: Date; nextUpdate?: Date }
}

async function makeChain(variant: Variant): Promise<Uint8Array[]> {
  const keys = variant.intermediateKeys ?? intermediatePair
  const validity = { notBefore: days(-1), notAfter: days(365) }
  const root = await issueCertificate({
    serial: 1,
    subject: rootName,
    publicKey: rootPair.publicKey,
    issuer: rootName,
    issuerKey: rootPair.privateKey,
    ...validity,
    notAfter: variant.rootEnds ?? validity.notAfter,
    extensions: variant.root ?? ROOT,
  })
  const intermediate = await issueCertificate({
    serial: 2,
    subject: intermediateName,
    publicKey: keys.publicKey,
    issuer: rootName,
    issuerKey: variant.intermediateSigner ?? rootPair.privateKey,
    ...validity,
    extensions: variant.intermediate ?? INTERMEDIATE,
  })
  const leaf = await issueCertificate({
    serial: 0,
    subject: leafName,
    publicKey: leafPair.publicKey,
    issuer: variant.leafIssuer ?? intermediateName,
    issuerKey: keys.privateKey,
    ...validity,
    extensions: variant.leaf ?? LEAF,
  })
  return [leaf, intermediate, root]
}

/** The codes that are not affirming, trust.simulated aside. */
async function judge(variant: Variant): Promise<string[]> {
  const certificates = await makeChain(variant)
  const { signer, issuer, thisUpdate, nextUpdate } = variant.crl ?? {}
  const validity = { thisUpdate: thisUpdate ?? days(-1), nextUpdate: nextUpdate ?? days(30) }
  const crl = await issueCrl({ issuer: issuer ?? rootName, issuerKey: signer ?? rootPair.privateKey, ...validity })
  const report = await makeSimulatedReport({
    reportData,
    chipId,
    reportId: new Uint8Array(32),
    reportKey: leafPair.privateKey,
  })
  const appraisal = await appraiseSnp(
    { report, certificates, crls: [crl] },
    {
      policy: STRICT_SNP_POLICY,
      measurements: [{ name: 'simulated', snp: { launch: [SIMULATION_MEASUREMENT], hostData: ['00'.repeat(32)] } }],
      revocation: 'required',
      roots: [{ fingerprint: toHex(await sha256(certificates[2] ?? new Uint8Array())), product: 'Simulated' }],
      reportData,
      now: NOW,
    },
  )
  return appraisal.checks
    .filter(({ tier, code }) => tier !== 'affirming' && code !== 'trust.simulated')
    .map(({ code }) => code)
}

const unknown = extension('2.25.1', new Uint8Array([5, 0]), { critical: true })
const harmless = extension('2.25.1', new Uint8Array([5, 0]), { critical: false })
const otherChip = vcekExtensions({ productName: 'Simulated', tcb: SIMULATED_TCB, hwid: new Uint8Array(64) })
const otherTcb = vcekExtensions({ productName: 'Simulated', tcb: { ...SIMULATED_TCB, snp: 2 }, hwid: chipId })
const otherLine = vcekExtensions({ productName: 'Genoa', tcb: SIMULATED_TCB, hwid: chipId })
const [isCa = unknown, mayCertify = unknown] = authorityExtensions({ pathLength: 0, signsLists: false })

const CASES: [string, Variant, string[]][] = [
  ['a right chain', {}, []],
  ['an extension that is not critical', { leaf: [...LEAF, harmless] }, []],
  ['an unknown critical extension in the leaf', { leaf: [...LEAF, unknown] }, ['chain.extension']],
  [
    'an unknown critical extension in the intermediate',
    { intermediate: [...INTERMEDIATE, unknown] },
    ['chain.extension'],
  ],
  ['a certificate without the simulation mark', { leaf: LEAF.slice(0, -1) }, ['chain.extension']],
  ['a leaf that is a CA', { leaf: [...LEAF, isCa, mayCertify] }, ['chain.not-ca']],
  [
    'an intermediate without keyCertSign',
    {
      intermediate: [isCa, extension('2.5.29.15', new Uint8Array([3, 2, 1, 2]), { critical: true }), simulationMark()],
    },
    ['chain.not-ca'],
  ],
  ['an intermediate that is no CA', { intermediate: [simulationMark()] }, ['chain.not-ca']],
  [
    'a root with no room for an intermediate',
    { root: [...authorityExtensions({ pathLength: 0, signsLists: true }), simulationMark()] },
    ['chain.not-ca'],
  ],
  ['a leaf of another issuer', { leafIssuer: rootName }, ['chain.names']],
  ['an intermediate that the root did not sign', { intermediateSigner: weakPair.privateKey }, ['chain.signature']],
  ['an intermediate key of 2048 bits', { intermediateKeys: weakPair }, ['chain.algorithm']],
  ['a root that has ended', { rootEnds: days(-0.5) }, ['chain.expired']],
  ['another chip', { leaf: [...otherChip, simulationMark()] }, ['chain.chip-id-mismatch']],
  ['another firmware', { leaf: [...otherTcb, simulationMark()] }, ['chain.tcb-mismatch']],
  ['another processor line', { leaf: [...otherLine, simulationMark()] }, ['chain.product-mismatch']],
  ['a list signed by another key', { crl: { signer: intermediatePair.privateKey } }, ['chain.revocation-unknown']],
  ['a list of another issuer', { crl: { issuer: intermediateName } }, ['chain.revocation-unknown']],
  ['a list from the future', { crl: { thisUpdate: days(1) } }, ['chain.revocation-unknown']],
  ['a list that has ended', { crl: { nextUpdate: days(-0.5) } }, ['chain.revocation-stale']],
  [
    'a root that may sign no lists',
    { root: [...authorityExtensions({ signsLists: false }), simulationMark()] },
    ['chain.revocation-unknown'],
  ],
]

for (const [name, variant, codes] of CASES) {
  test(`${name}: ${codes.join(', ') || 'nothing refused'}`, async () => assert.deepEqual(await judge(variant), codes))
}

test('a leaf without the extensions of its maker cannot be read', async () => {
  assert.ok((await judge({ leaf: [simulationMark()] })).includes('format.certificates'))
})

test('an extension that comes twice cannot be read', async () => {
  assert.ok((await judge({ leaf: [...LEAF, simulationMark()] })).includes('format.certificates'))
})
