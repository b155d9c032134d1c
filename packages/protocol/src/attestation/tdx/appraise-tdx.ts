/**
 * Judges a TDX quote with its collateral, revocation lists and event log. All checks are made; total on any bytes.
 * Spec: spec/ATTESTATION.md#tdx. Pure.
 */
import { equalBytes, toHex } from '../../bytes.ts'
import { TrustedPodsError } from '../../errors.ts'
import { type Check, type CheckCode, judge, unexamined } from '../checks.ts'
import { appraiseChains, isSimulated } from './appraise-chains.ts'
import { appraiseCollateral, collateralEnd, readCollateral, type TdxCollateral } from './appraise-collateral.ts'
import { appraiseMeasurement, type EventLogEvidence, type NamedReference } from './appraise-measurement.ts'
import { appraiseQeSignature, appraiseQuote, checkQeIdentity } from './appraise-qe.ts'
import { appraiseRevocation } from './appraise-revocation.ts'
import { appraiseTcb } from './appraise-tcb.ts'
import { appraiseTd } from './appraise-td.ts'
import { CertificatePool } from './certificate-pool.ts'
import { findAnchor, type PckChain, readPckChain } from './chains.ts'
import type { Collateral } from './collateral.ts'
import type { TdxPolicy } from './policy.ts'
import { parseTdxQuote, type TdxQuote } from './quote.ts'
import type { TdxRoot } from './roots.ts'
import type { TdxTcb } from './tcb-status.ts'

export interface TdxEvidence {
  /** The quote. */
  readonly report: Uint8Array
  readonly collateral: readonly Collateral[]
  /** DER: of the root CA and of the PCK CA. */
  readonly crls: readonly Uint8Array[]
  readonly eventLog?: EventLogEvidence | undefined
}

export interface TdxOptions {
  readonly policy: TdxPolicy
  readonly measurements: readonly NamedReference[]
  readonly revocation: 'required' | 'preferred'
  readonly roots: readonly TdxRoot[]
  /** What REPORTDATA must be, 64 bytes. */
  readonly reportData: Uint8Array
  readonly now: Date
}

export interface TdxAppraisal {
  readonly checks: Check[]
  /** The root is a development root, or calls itself one. */
  readonly simulated: boolean
  /** Hex of the platform instance id. */
  readonly platformId?: string
  /** When the first certificate, revocation list or piece of collateral ends. */
  readonly validUntil?: Date
  /** Intel's word on the platform, whether or not the rest holds. */
  readonly tcb?: TdxTcb & { readonly evaluationNumber: number }
}

export async function appraiseTdx(evidence: TdxEvidence, options: TdxOptions): Promise<TdxAppraisal> {
  const pool = new CertificatePool()
  const { quote, checks: format } = parseTdxQuote(evidence.report)
  const guest = judgeGuest(quote, evidence, options)
  const chain = readPart('format.certificates', 'a PCK chain', () => quote && readPckChain(quote.pckChain, pool))
  const enclave = quote && chain.value && appraiseQeSignature(quote, chain.value)
  // From here on threads verify what was read, while the rest is read here.
  await chain.value?.root.key
  const collateral = readPart('format.collateral', 'TCB info and QE identity', () =>
    readCollateral(evidence.collateral, pool),
  )
  const parts: Parts = { evidence, options, pool, quote, chain: chain.value, collateral: collateral.value }
  const [endorsed, signed] = await Promise.all([judgeChains(parts), judgeCollateral(parts)])
  const { tcb, checks: tcbChecks } = judgeTcb(parts)
  const checks = [
    ...format,
    ...chain.checks,
    ...collateral.checks,
    ...(await guest),
    ...(enclave ? [await enclave] : []),
    ...endorsed.checks,
    ...signed,
    ...tcbChecks,
  ]
  const id = chain.value?.pck.platformInstanceId
  return {
    checks: [...checks, ...unexamined(NEEDED, checks)],
    simulated: endorsed.simulated,
    ...(id === undefined ? {} : { platformId: toHex(id) }),
    ...(endorsed.validUntil === undefined ? {} : { validUntil: endorsed.validUntil }),
    ...(tcb === undefined ? {} : { tcb }),
  }
}

/** What could be read, for the judges of each part. */
interface Parts {
  readonly evidence: TdxEvidence
  readonly options: TdxOptions
  readonly pool: CertificatePool
  readonly quote: TdxQuote | undefined
  readonly chain: PckChain | undefined
  readonly collateral: TdxCollateral | undefined
}

/** A part of the evidence with the finding that it can be read; no finding where there is nothing to read it from. */
function readPart<T>(code: CheckCode, wanted: string, read: () => T | undefined): { checks: Check[]; value?: T } {
  try {
    const value = read()
    return value === undefined ? { checks: [] } : { checks: [judge(code, true, wanted, wanted)], value }
  } catch (error) {
    if (!(error instanceof TrustedPodsError)) throw error
    return { checks: [judge(code, false, wanted, error.message)] }
  }
}

/** What the quote says by itself. */
async function judgeGuest(
  quote: TdxQuote | undefined,
  { eventLog }: TdxEvidence,
  { policy, measurements, reportData }: TdxOptions,
): Promise<Check[]> {
  if (quote === undefined) return []
  const { td } = quote
  const [signed, measured] = await Promise.all([appraiseQuote(quote), appraiseMeasurement(td, measurements, eventLog)])
  const isBound = equalBytes(td.reportData, reportData)
  return [
    ...signed,
    judge('binding.report-data', isBound, toHex(reportData), toHex(td.reportData), 'quote REPORTDATA'),
    ...appraiseTd(td, policy),
    ...measured,
  ]
}

interface ChainsAppraisal {
  readonly checks: Check[]
  readonly simulated: boolean
  readonly validUntil?: Date
}

/** The certificates and their revocation. */
async function judgeChains({ evidence, options, pool, chain, collateral }: Parts): Promise<ChainsAppraisal> {
  if (chain === undefined) return { checks: [], simulated: false }
  const { now, revocation } = options
  const signing = collateral ? [collateral.tcbInfo.chain, collateral.qeIdentity.chain] : []
  const revoked = appraiseRevocation({ pckChain: chain, signing, crls: evidence.crls, revocation, now })
  const anchor = await findAnchor([chain, ...signing], options.roots)
  try {
    const checks = await appraiseChains({ pckChain: chain, signing, anchor, pool, now })
    const lists = await revoked
    const certificates = [chain, ...signing].flatMap((member) => member.certificates)
    const ends = [...certificates.map(({ notAfter }) => notAfter), ...(collateral ? [collateralEnd(collateral)] : [])]
    return {
      checks: [...checks, ...lists.checks],
      simulated: isSimulated(chain, anchor),
      validUntil: earliest([...ends, ...(lists.nextUpdate ? [lists.nextUpdate] : [])], now),
    }
  } catch (error) {
    if (!(error instanceof TrustedPodsError)) throw error
    return { checks: [...unreadable(error), ...(await revoked).checks], simulated: isSimulated(chain, anchor) }
  }
}

function unreadable(error: TrustedPodsError): Check[] {
  return [judge('chain.extension', false, 'basicConstraints and keyUsage that can be read', error.message)]
}

/** What has ended already is in the checks: it does not end the verdict a second time. */
function earliest(ends: readonly Date[], now: Date): Date {
  const times = ends.map((end) => end.getTime()).filter((end) => end >= now.getTime())
  return times.length === 0 ? now : new Date(Math.min(...times))
}

async function judgeCollateral({ collateral, chain, options: { policy, now } }: Parts): Promise<Check[]> {
  return collateral === undefined ? [] : await appraiseCollateral(collateral, { pck: chain?.pck, policy, now })
}

function judgeTcb({ quote, chain, collateral, options: { policy, now } }: Parts): Pick<TdxAppraisal, 'checks' | 'tcb'> {
  if (quote === undefined || collateral === undefined) return { checks: [] }
  const tcbInfo = collateral.tcbInfo.content
  const qeIdentity = collateral.qeIdentity.content
  const enclave = checkQeIdentity(quote.qe, qeIdentity)
  if (chain === undefined) return { checks: [enclave] }
  const parts = { td: quote.td, qe: quote.qe, pck: chain.pck, tcbInfo, qeIdentity }
  const { checks, tcb } = appraiseTcb(parts, { policy, now })
  const { evaluationNumber } = tcbInfo
  return { checks: [enclave, ...checks], ...(tcb === undefined ? {} : { tcb: { ...tcb, evaluationNumber } }) }
}

/** What is listed as not examined when a part cannot be read. */
const NEEDED: readonly CheckCode[] = [
  'format.length',
  'format.version',
  'format.algorithm',
  'format.tee-type',
  'format.body',
  'format.cert-type',
  'format.trailing',
  'format.certificates',
  'format.collateral',
  'binding.report-data',
  'qe.vendor',
  'qe.report-data',
  'qe.signature',
  'qe.identity-mismatch',
  'signature.invalid',
  'trust.simulated',
  'chain.untrusted-root',
  'chain.names',
  'chain.purpose',
  'chain.not-ca',
  'chain.extension',
  'chain.algorithm',
  'chain.expired',
  'chain.not-yet-valid',
  'chain.signature',
  'chain.revocation-unknown',
  'collateral.signature',
  'collateral.type',
  'collateral.expired',
  'collateral.not-yet-valid',
  'collateral.fmspc',
  'collateral.pceid',
  'collateral.evaluation',
  'tcb.module-mismatch',
  'tcb.not-supported',
  'policy.debug',
  'policy.attributes',
  'policy.sept-ve-disable',
  'policy.migration',
  'policy.perfmon',
  'policy.xfam',
  'policy.service-td',
  'measurement.unknown',
  'measurement.rtmr',
  'measurement.event-log',
  'measurement.config-id',
  'measurement.owner',
]
