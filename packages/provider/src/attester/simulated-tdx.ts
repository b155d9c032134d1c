/**
 * The TDX attester without hardware: genuine formats, judged by the genuine verifier, under a root made by this installation.
 * Nothing is confidential. Spec: spec/ATTESTATION.md#simulated.
 */
import { createHash, generateKeyPairSync } from 'node:crypto'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Attester, Quote } from './attester.ts'
import { issueCrl } from './development-certificate.ts'
import { type DevelopmentTdxRoot, loadDevelopmentTdxRoot } from './development-tdx-root.ts'
import { toPem } from './pem.ts'
import { REPORT_DATA_BYTES, type SimulatedAttester, type SimulatedAttesterOptions } from './simulated.ts'
import { makeSimulatedCollateral, type Validity } from './simulated-collateral.ts'
import { makeSimulatedQuote } from './simulated-quote.ts'

/**
 * Opens the installation's simulated TDX attester; the first time it makes the root.
 * @throws TrustedPodsError PLATFORM_STATE when the state can be read by others or is not ours.
 */
export async function openSimulatedTdxAttester(options: SimulatedAttesterOptions): Promise<SimulatedAttester> {
  const clock = options.clock ?? (() => new Date())
  const root = await loadDevelopmentTdxRoot(options.stateDir, { now: clock() })
  return {
    evidenceType: 'tdx',
    simulated: true,
    rootFingerprint: createHash('sha256').update(root.certificates.root).digest('hex'),
    rootPem: toPem(root.certificates.root),
    platformId: root.platformInstanceId,
    findPlatformId: () => Promise.resolve(root.platformInstanceId),
    quote: quoteTdx(root, clock),
  }
}

/** The attestation key lives as long as its attester. */
export function quoteTdx(root: DevelopmentTdxRoot, clock: () => Date): Attester['quote'] {
  const { privateKey: attestationKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { pck, pckCa, root: rootDer } = root.certificates
  const pckChain = toPem(pck, pckCa, rootDer)
  return async (reportData, { signal } = {}): Promise<Quote> => {
    signal?.throwIfAborted()
    if (reportData.length !== REPORT_DATA_BYTES) {
      const got = `${reportData.length} bytes of report data, ${REPORT_DATA_BYTES} are wanted`
      throw new TrustedPodsError('ATTEST_UNAVAILABLE', got)
    }
    const validity = validityAt(clock())
    const [report, crls, collateral] = await Promise.all([
      makeSimulatedQuote({ reportData, attestationKey, pckKey: root.keys.pck, pckChain }),
      makeLists(root, validity),
      makeSimulatedCollateral(root, validity),
    ])
    return { report, certificates: [], crls, collateral }
  }
}

const HOUR_MS = 3_600_000
/** As Intel's lists and collateral: 30 days; from an hour ago, for clocks that are late. */
const VALID_HOURS = 30 * 24

function validityAt(now: Date): Validity {
  return { from: new Date(now.getTime() - HOUR_MS), until: new Date(now.getTime() + VALID_HOURS * HOUR_MS) }
}

/** Empty lists of the root and of the PCK CA. */
async function makeLists({ names, keys }: DevelopmentTdxRoot, { from, until }: Validity): Promise<Uint8Array[]> {
  const { organization, root, intermediates } = names
  const validity = { thisUpdate: from, nextUpdate: until }
  return await Promise.all([
    issueCrl({ issuer: { organization, commonName: root }, issuerKey: keys.root, ...validity }),
    issueCrl({ issuer: { organization, commonName: intermediates[0] ?? '' }, issuerKey: keys.pckCa, ...validity }),
  ])
}
