/**
 * Judges an SEV-SNP report with its certificates and revocation lists. All checks are made; total on any bytes.
 * Spec: spec/ATTESTATION.md#snp. Pure.
 */
import { SIMULATED_TRUST } from '#simulated-trust'
import { TrustedPodsError } from '../../errors.ts'
import { type Check, type CheckCode, judge, rate, unexamined } from '../checks.ts'
import type { ReferenceMeasurement } from '../policy.ts'
import { anchorChain, appraiseChain, type Chain, parseChain } from './appraise-chain.ts'
import { appraiseEndorsement, isSignedBy, platformId } from './appraise-endorsement.ts'
import {
  appraiseFormat,
  appraiseGuest,
  appraiseIdBlock,
  appraiseMeasurement,
  appraiseReportData,
  appraiseVersion,
} from './appraise-guest.ts'
import { appraiseRevocation } from './appraise-revocation.ts'
import { appraiseTcb } from './appraise-tcb.ts'
import type { SnpPolicy } from './policy.ts'
import { SIMULATION_ORGANIZATION } from './product.ts'
import { parseSnpReport, REPORT_BYTES, type SnpReport } from './report.ts'
import type { TrustedRoot } from './roots.ts'

export interface SnpEvidence {
  readonly report: Uint8Array
  /** DER: VCEK or VLEK, ASK or ASVK, ARK. */
  readonly certificates: readonly Uint8Array[]
  readonly crls: readonly Uint8Array[]
}

export interface SnpOptions {
  readonly policy: SnpPolicy
  readonly measurements: readonly ReferenceMeasurement[]
  readonly revocation: 'required' | 'preferred'
  readonly roots: readonly TrustedRoot[]
  /** What REPORT_DATA must be, 64 bytes. */
  readonly reportData: Uint8Array
  readonly now: Date
}

export interface SnpAppraisal {
  readonly checks: Check[]
  /** The root is a development root, or calls itself one. */
  readonly simulated: boolean
  readonly platformId?: string
  /** When the first certificate or the revocation list ends. */
  readonly validUntil?: Date
}

export async function appraiseSnp(evidence: SnpEvidence, options: SnpOptions): Promise<SnpAppraisal> {
  const report = readReport(evidence.report)
  const reading = readChain(evidence, report.value, options)
  // Judged while other threads verify signatures.
  const own = report.value ? appraiseReport(report.value, options) : []
  const chain = await reading
  const checks = [...report.checks, ...chain.checks, ...own]
  if (report.value && chain.value) checks.push(...appraiseTogether(report.value, chain.value, options))
  const id = report.value && chain.value && platformId(report.value, chain.value.kind, chain.value.product)
  return {
    checks: [...checks, ...unexamined(NEEDED, checks)],
    simulated: isSimulated(chain.value),
    ...(id === undefined ? {} : { platformId: id }),
    ...(chain.validUntil === undefined ? {} : { validUntil: chain.validUntil }),
  }
}

interface ReportReading {
  readonly checks: Check[]
  readonly value?: SnpReport
}

interface ChainReading {
  readonly checks: Check[]
  readonly value?: JudgedChain
  readonly validUntil?: Date
}

/** A chain, and whether its leaf signed the report. */
type JudgedChain = Chain & { readonly isGenuine: boolean }

function readReport(raw: Uint8Array): ReportReading {
  const isWhole = raw.length === REPORT_BYTES
  const length = judge('format.length', isWhole, `${REPORT_BYTES} bytes`, `${raw.length} bytes`)
  if (!isWhole) return { checks: [length] }
  const value = parseSnpReport(raw)
  const { isKnown, checks } = appraiseVersion(value)
  return { checks: [length, ...checks], ...(isKnown && { value }) }
}

/** The longest work, the report's signature, is begun first; the others are verified beside it. */
async function readChain(
  { certificates, crls }: SnpEvidence,
  report: SnpReport | undefined,
  options: SnpOptions,
): Promise<ChainReading> {
  const wanted = 'leaf, intermediate, root'
  try {
    const parsed = parseChain(certificates)
    const signed = report === undefined ? false : isSignedBy(report, parsed.leaf)
    const chain = await anchorChain(parsed, options.roots)
    const [links, revocation] = await Promise.all([
      appraiseChain(chain, options.now),
      appraiseRevocation(chain, crls, options),
    ])
    const checks = [judge('format.certificates', true, wanted, '3 certificates'), checkTrust(chain)]
    checks.push(...links, ...revocation.checks)
    const value = { ...chain, isGenuine: await signed }
    return { checks, value, validUntil: validUntil(chain, revocation.nextUpdate, options.now) }
  } catch (error) {
    if (!(error instanceof TrustedPodsError)) throw error
    return { checks: [judge('format.certificates', false, wanted, error.message)] }
  }
}

/** A development root warns when the policy names it, and refuses when it only says that it is one. */
function checkTrust(chain: Chain): Check {
  const isTrusted = chain.anchor?.product === 'Simulated'
  const tier = isTrusted ? 'warning' : isSimulated(chain) ? 'contraindicated' : 'affirming'
  const { organization, commonName } = chain.root.subject
  return rate('trust.simulated', tier, "the processor maker's root", `${organization}/${commonName}`)
}

function isSimulated(chain: Chain | undefined): boolean {
  return chain?.anchor?.product === 'Simulated' || chain?.root.subject.organization === SIMULATION_ORGANIZATION
}

function appraiseReport(report: SnpReport, { policy, measurements, reportData }: SnpOptions): Check[] {
  return [
    ...appraiseFormat(report),
    appraiseReportData(report, reportData),
    ...appraiseGuest(report, policy),
    ...appraiseMeasurement(report, measurements),
    ...appraiseIdBlock(report, policy.idKeyDigests),
  ]
}

function appraiseTogether(report: SnpReport, chain: JudgedChain, { policy }: SnpOptions): Check[] {
  const { isGenuine } = chain
  const endorsed = appraiseEndorsement(report, chain, { allowed: policy.endorsement, isGenuine })
  if (chain.product === undefined) return endorsed
  const floor = chain.product === 'Simulated' ? SIMULATED_TRUST?.snp.floor : policy.products[chain.product]
  const tier = floor?.cap ?? 'contraindicated'
  return [
    ...endorsed,
    rate('platform.product', tier, Object.keys(policy.products).join(', ') || 'none', chain.product),
    ...appraiseTcb(report, chain.product, floor),
  ]
}

/** A list that has ended already is in the checks: it does not end the verdict a second time. */
function validUntil({ leaf, intermediate, root }: Chain, nextUpdate: Date | undefined, now: Date): Date {
  const ends = [leaf, intermediate, root].map(({ notAfter }) => notAfter.getTime())
  if (nextUpdate !== undefined && nextUpdate.getTime() >= now.getTime()) ends.push(nextUpdate.getTime())
  return new Date(Math.min(...ends))
}

/** What is listed as not examined when the report or the chain cannot be read. */
const NEEDED: readonly CheckCode[] = [
  'format.version',
  'format.reserved',
  'format.policy',
  'format.algorithm',
  'format.signature',
  'binding.report-data',
  'trust.simulated',
  'chain.untrusted-root',
  'chain.names',
  'chain.not-ca',
  'chain.extension',
  'chain.algorithm',
  'chain.expired',
  'chain.not-yet-valid',
  'chain.signature',
  'chain.revocation-unknown',
  'chain.key-kind',
  'chain.product-mismatch',
  'chain.tcb-mismatch',
  'chain.chip-id-mismatch',
  'signature.invalid',
  'policy.endorsement',
  'policy.debug',
  'policy.migration-agent',
  'policy.smt',
  'policy.cxl',
  'policy.single-socket',
  'policy.vmpl',
  'platform.product',
  'platform.alias-check',
  'platform.ciphertext-hiding',
  'tcb.inconsistent',
  'tcb.provisional',
  'tcb.below-minimum',
  'tcb.launch-below-minimum',
  'tcb.mitigation',
  'measurement.unknown',
  'measurement.host-data',
  'id-block.missing',
  'id-block.unknown',
]
