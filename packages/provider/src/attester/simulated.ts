/**
 * The attester without hardware: genuine formats, judged by the genuine verifier, under a root made by this installation.
 * Nothing is confidential. Spec: spec/ATTESTATION.md#simulated.
 */
import { createHash, randomBytes } from 'node:crypto'
import { chainNames } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Attester, Quote } from './attester.ts'
import { issueCrl } from './development-certificate.ts'
import { type DevelopmentRoot, loadDevelopmentRoot } from './development-root.ts'
import { toPem } from './pem.ts'
import { makeSimulatedReport } from './simulated-report.ts'

export interface SimulatedAttester extends Attester {
  /** SHA-256 of the root's DER, lower-case hex: what a policy names under simulatedRoots. */
  readonly rootFingerprint: string
  readonly rootPem: string
  /** The invented CHIP_ID or platform instance id. */
  readonly platformId: Uint8Array
}

export interface SimulatedAttesterOptions {
  /** Keeps the keys, in one file of mode 0600. */
  readonly stateDir: string
  /** The wall clock unless given. */
  readonly clock?: () => Date
}

export const REPORT_DATA_BYTES = 64

/**
 * Opens the installation's simulated attester; the first time it makes the root, which takes some seconds.
 * @throws TrustedPodsError PLATFORM_STATE when the state can be read by others or is not ours.
 */
export async function openSimulatedAttester(options: SimulatedAttesterOptions): Promise<SimulatedAttester> {
  const clock = options.clock ?? (() => new Date())
  const root = await loadDevelopmentRoot(options.stateDir, { now: clock() })
  const rootDer = root.certificates.at(-1) ?? new Uint8Array()
  return {
    evidenceType: 'snp',
    simulated: true,
    rootFingerprint: createHash('sha256').update(rootDer).digest('hex'),
    rootPem: toPem(rootDer),
    platformId: root.chipId,
    findPlatformId: () => Promise.resolve(root.chipId),
    quote: quoter(root, clock),
  }
}

/** A guest's REPORT_ID lives as long as its attester. */
function quoter(root: DevelopmentRoot, clock: () => Date): Attester['quote'] {
  const reportId = new Uint8Array(randomBytes(32))
  return async (reportData, { signal } = {}): Promise<Quote> => {
    signal?.throwIfAborted()
    if (reportData.length !== REPORT_DATA_BYTES) {
      const got = `${reportData.length} bytes of report data, ${REPORT_DATA_BYTES} are wanted`
      throw new TrustedPodsError('ATTEST_UNAVAILABLE', got)
    }
    const { chipId, reportKey, certificates } = root
    const report = await makeSimulatedReport({ reportData, chipId, reportId, reportKey })
    return { report, certificates: [...certificates], crls: [await makeCrl(root, clock())] }
  }
}

const HOUR_MS = 3_600_000
/** From an hour ago, for clocks that are late; AMD's lists last a year, a month is enough for one made on demand. */
const CRL_HOURS = 30 * 24

async function makeCrl({ rootKey }: DevelopmentRoot, now: Date): Promise<Uint8Array> {
  const { organization, root } = chainNames('Simulated', 'vcek')
  return await issueCrl({
    issuer: { organization, commonName: root },
    issuerKey: rootKey,
    thisUpdate: new Date(now.getTime() - HOUR_MS),
    nextUpdate: new Date(now.getTime() + CRL_HOURS * HOUR_MS),
  })
}
