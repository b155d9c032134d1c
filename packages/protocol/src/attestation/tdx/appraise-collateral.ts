/** Judges TCB info and QE identity: read, signed, current, for this platform. Spec: spec/ATTESTATION.md#collateral. Pure. */
import { equalBytes, toHex } from '../../bytes.ts'
import { TrustedPodsError } from '../../errors.ts'
import { type Check, judge, rate } from '../checks.ts'
import type { CertificatePool } from './certificate-pool.ts'
import { readChain, type TdxChain } from './chains.ts'
import { type Collateral, QE_IDENTITY, TCB_INFO } from './collateral.ts'
import { verifyP256 } from './p256.ts'
import type { Pck } from './pck.ts'
import type { TdxPolicy } from './policy.ts'
import { parseQeIdentity, type QeIdentity } from './qe-identity.ts'
import { type CollateralHead, parseTcbInfo, type TcbInfo } from './tcb-info.ts'

/** One piece that could be read; what it proves is in the checks only. */
interface Signed<T> {
  readonly content: T
  readonly chain: TdxChain
  readonly isSigned: Promise<boolean>
}

export interface TdxCollateral {
  readonly tcbInfo: Signed<TcbInfo>
  readonly qeIdentity: Signed<QeIdentity>
}

/** Both pieces, each exactly once. @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED */
export function readCollateral(collateral: readonly Collateral[], pool: CertificatePool): TdxCollateral {
  if (collateral.length !== 2) {
    throw new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', `collateral: expected 2 pieces, got ${collateral.length}`)
  }
  return {
    tcbInfo: readSigned(TCB_INFO, collateral, { parse: parseTcbInfo, pool }),
    qeIdentity: readSigned(QE_IDENTITY, collateral, { parse: parseQeIdentity, pool }),
  }
}

function readSigned<T>(
  kind: string,
  collateral: readonly Collateral[],
  { parse, pool }: { parse: (body: Uint8Array) => T; pool: CertificatePool },
): Signed<T> {
  const found = collateral.find((piece) => piece.kind === kind)
  if (found === undefined) throw new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', `collateral: no ${kind}`)
  const chain = readChain(kind, found.certificates, pool)
  return { content: parse(found.body), chain, isSigned: verifyP256(chain.leaf.key, found.signature, found.body) }
}

const VERSIONS = { tcbInfo: { id: 'TDX', version: 3 }, qeIdentity: { id: 'TD_QE', version: 2 } } as const

export interface CollateralOptions {
  /** undefined: the PCK chain cannot be read. */
  readonly pck: Pck | undefined
  readonly policy: TdxPolicy
  readonly now: Date
}

export async function appraiseCollateral(read: TdxCollateral, options: CollateralOptions): Promise<Check[]> {
  const { pck, policy, now } = options
  const pieces = [
    [TCB_INFO, read.tcbInfo],
    [QE_IDENTITY, read.qeIdentity],
  ] as const
  const heads = pieces.map(([, { content }]) => content)
  const good = await Promise.all(pieces.map(([, { isSigned }]) => isSigned))
  const forged = pieces.filter((_, i) => !good[i]).map(([kind]) => `${kind} is not`)
  const tcbInfo = read.tcbInfo.content
  return [
    judge('collateral.signature', forged.length === 0, 'both signed', forged.join(', ') || 'both signed'),
    checkTypes(read),
    checkExpired(heads, now, policy.collateralGraceHours),
    judge(
      'collateral.not-yet-valid',
      heads.every(({ issueDate }) => issueDate.getTime() <= now.getTime()),
      `issued by ${now.toISOString()}`,
      heads.map(({ issueDate }) => issueDate.toISOString()).join(', '),
    ),
    ...(pck === undefined ? [] : checkPlatform(tcbInfo, pck)),
    judge(
      'collateral.evaluation',
      heads.every(({ evaluationNumber }) => evaluationNumber >= policy.minTcbEvaluationDataNumber),
      `at least ${policy.minTcbEvaluationDataNumber}`,
      heads.map(({ evaluationNumber }) => evaluationNumber).join(', '),
    ),
  ]
}

function checkTypes({ tcbInfo, qeIdentity }: TdxCollateral): Check {
  const isRight = (head: CollateralHead, wanted: { id: string; version: number }) =>
    head.id === wanted.id && head.version === wanted.version
  const passed = isRight(tcbInfo.content, VERSIONS.tcbInfo) && isRight(qeIdentity.content, VERSIONS.qeIdentity)
  const got = [tcbInfo.content, qeIdentity.content].map(({ id, version }) => `${id} ${version}`)
  return judge('collateral.type', passed && tcbInfo.content.module !== undefined, 'TDX 3, TD_QE 2', got.join(', '))
}

const HOUR_MS = 3_600_000

function checkExpired(heads: readonly CollateralHead[], now: Date, graceHours: number): Check {
  const end = Math.min(...heads.map(({ nextUpdate }) => nextUpdate.getTime()))
  const isCurrent = now.getTime() <= end
  const isGraced = graceHours > 0 && now.getTime() <= end + graceHours * HOUR_MS
  const tier = isCurrent ? 'affirming' : isGraced ? 'warning' : 'contraindicated'
  return rate('collateral.expired', tier, `current at ${now.toISOString()}`, `until ${new Date(end).toISOString()}`)
}

function checkPlatform(tcbInfo: TcbInfo, pck: Pck): Check[] {
  return [
    judge('collateral.fmspc', equalBytes(tcbInfo.fmspc, pck.fmspc), toHex(pck.fmspc), toHex(tcbInfo.fmspc)),
    judge('collateral.pceid', equalBytes(tcbInfo.pceId, pck.pceId), toHex(pck.pceId), toHex(tcbInfo.pceId)),
  ]
}

/** When the first piece ends. */
export function collateralEnd({ tcbInfo, qeIdentity }: TdxCollateral): Date {
  return new Date(Math.min(tcbInfo.content.nextUpdate.getTime(), qeIdentity.content.nextUpdate.getTime()))
}
