/** Whether the verifier says of a vector what it must say. */
import { appraise } from '@trusted-pods/protocol/attestation/appraise.ts'
import { type Check, type Tier, worstTier } from '@trusted-pods/protocol/attestation/checks.ts'
import type { Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import type { Case } from './case-codec.ts'
import type { Vector } from './vector.ts'

/** Who judges: the verifier here, or one in another place. */
export type Judge = (given: Case) => Promise<Pick<Verdict, 'checks' | 'tcb'>>

const HERE: Judge = ({ evidence, options }) => appraise(evidence, options)

/** What the verifier said. */
export interface Finding {
  readonly tier: Tier
  /** Of the checks that did not pass. */
  readonly codes: readonly string[]
  /** `OutOfDate INTEL-SA-00960`, where the hardware is TDX and there is a status. */
  readonly tcb?: string
}

export interface VectorResult extends Finding {
  /** What is wrong with it; undefined: nothing. */
  readonly wrong?: string
}

/** The vectors pin no platform, so that check alone says nothing of them. */
const UNPINNED = 'platform.unpinned'

/** Appraises by the public verifier. `anchors: false`: with the pinned roots in place of the vector's. */
export async function appraiseVector(vector: Vector, { anchors = true, judge = HERE } = {}): Promise<Finding> {
  const { anchors: own, ...rest } = vector.options
  const options = { ...rest, ...(anchors && own && { anchors: own }) }
  const { checks, tcb } = await judge({ evidence: vector.evidence, options })
  const judged = checks.filter(({ code }) => code !== UNPINNED)
  const told = tcb && { tcb: formatTcb(tcb.status, vector.tcb?.advisories && tcb.advisories) }
  return { tier: worstTier(judged), codes: failedCodes(judged), ...told }
}

function formatTcb(status: string, advisories: readonly string[] = []): string {
  return [status, ...advisories.toSorted()].join(' ')
}

function failedCodes(checks: readonly Check[]): string[] {
  return checks.filter(({ tier }) => tier === 'warning' || tier === 'contraindicated').map(({ code }) => code)
}

/** Judges a vector: the tier, the codes, and that a foreign root is trusted by nobody who does not name it. */
export async function judgeVector(vector: Vector, judge: Judge = HERE): Promise<VectorResult> {
  const found = await appraiseVector(vector, { judge })
  const missing = vector.codes.filter((code) => !found.codes.includes(code))
  const hasAny = vector.anyOf.length === 0 || vector.anyOf.some((code) => found.codes.includes(code))
  if (found.tier !== vector.expected || missing.length > 0 || !hasAny)
    return { ...found, wrong: describe(vector, found) }
  const tcb = vector.tcb && formatTcb(vector.tcb.status, vector.tcb.advisories)
  if (tcb !== undefined && tcb !== found.tcb)
    return { ...found, wrong: `expected TCB ${tcb}, got ${found.tcb ?? 'none'}` }
  if (!vector.isForeign) return found
  const pinned = await appraiseVector(vector, { anchors: false, judge })
  if (pinned.tier === 'contraindicated' && isUntrusted(pinned)) return found
  return {
    ...found,
    wrong: `expected contraindicated under the pinned roots, got ${pinned.tier} ${list(pinned.codes)}`,
  }
}

/** A chain that cannot be read has no root either. */
function isUntrusted({ codes }: Finding): boolean {
  return codes.some((code) => code === 'chain.untrusted-root' || code.startsWith('format.'))
}

function describe({ expected, codes, anyOf }: Vector, found: Finding): string {
  const any = anyOf.length > 0 ? ` any of ${anyOf.join(' | ')}` : ''
  return `expected ${expected} ${list(codes)}${any}, got ${found.tier} ${list(found.codes)}`
}

function list(codes: readonly string[]): string {
  return `[${codes.join(', ')}]`
}
