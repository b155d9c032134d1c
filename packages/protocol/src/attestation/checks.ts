/**
 * The closed list of what is checked, and how one finding reads. Spec: spec/ATTESTATION.md#checks. Pure.
 */
import type { CheckText } from './check-text.ts'
import { TDX_CHECKS } from './tdx/check-texts.ts'

/** AR4SI tiers; none: not examined, because what it needs could not be read. */
export type Tier = 'affirming' | 'warning' | 'contraindicated' | 'none'

const RETRY = 'attest again; if it stays, choose another provider'
const LEAVE = 'choose another provider'
const RESTAPLE = 'the provider must staple its current certificates'
const RECRL = 'the provider must staple the current revocation list of its processor'
const FIRMWARE = 'the provider must update its firmware'
const RELAUNCH = 'the provider must start its guest with other launch settings'

/** Every check: no other code exists. */
const CHECKS = {
  'format.statement': { title: 'the statement is complete', source: 'statement', advice: LEAVE },
  'format.size': { title: 'the evidence keeps the size limits', source: 'evidence', advice: LEAVE },
  'format.unsupported': { title: 'the evidence type has a verifier', source: 'statement', advice: LEAVE },
  'binding.evidence-type': {
    title: 'the policy allows the evidence type',
    source: 'statement',
    advice: 'name the type under evidence in the policy, or choose another provider',
  },
  'binding.nonce': { title: 'the evidence answers our nonce', source: 'statement', advice: RETRY },
  'binding.publisher': { title: 'the evidence was made for this publisher', source: 'statement', advice: LEAVE },
  'binding.provider': { title: 'the attested peer is the one connected', source: 'statement', advice: LEAVE },
  'binding.capacity': { title: 'the capacity response is the attested one', source: 'statement', advice: RETRY },
  'binding.claims': { title: 'the runtime claims are the attested ones', source: 'statement', advice: RETRY },
  'binding.stale': { title: 'the evidence came in time', source: "verifier's clock", advice: 'attest again' },
  'binding.report-data': { title: 'the report commits to the statement', source: 'report 0x050', advice: LEAVE },
  'format.length': { title: 'the report has its length', source: 'report', advice: LEAVE },
  'format.version': { title: 'the report version is known', source: 'report 0x000', advice: LEAVE },
  'format.reserved': { title: 'reserved bytes are zero', source: 'report', advice: LEAVE },
  'format.policy': { title: 'the guest policy is well formed', source: 'report 0x008', advice: LEAVE },
  'format.algorithm': { title: 'the report names a known signature algorithm', source: 'report 0x034', advice: LEAVE },
  'format.signature': { title: 'the signature is well formed', source: 'report 0x2A0', advice: LEAVE },
  'format.certificates': { title: 'the certificates can be read', source: 'certificates', advice: RESTAPLE },
  'chain.untrusted-root': {
    title: 'the root is trusted',
    source: 'certificates',
    advice: 'choose another provider; a development root must be named under simulatedRoots',
  },
  'chain.names': { title: 'the names form the chain of the processor maker', source: 'certificates', advice: LEAVE },
  'chain.not-ca': { title: 'issuers may issue, the endorsed key may not', source: 'certificates', advice: LEAVE },
  'chain.extension': { title: 'no critical extension is unknown', source: 'certificates', advice: LEAVE },
  'chain.algorithm': { title: 'keys and signatures are of the prescribed kind', source: 'certificates', advice: LEAVE },
  'chain.expired': { title: 'no certificate has expired', source: 'certificates', advice: RESTAPLE },
  'chain.not-yet-valid': { title: 'every certificate is valid already', source: 'certificates', advice: RESTAPLE },
  'chain.signature': { title: 'each certificate is signed by the next', source: 'certificates', advice: LEAVE },
  'chain.revoked': { title: 'no certificate is revoked', source: 'revocation list', advice: LEAVE },
  'chain.revocation-unknown': {
    title: 'a genuine revocation list is there',
    source: 'revocation list',
    advice: RECRL,
    warns: true,
  },
  'chain.revocation-stale': {
    title: 'the revocation list is current',
    source: 'revocation list',
    advice: RECRL,
    warns: true,
  },
  'chain.key-kind': { title: 'the key is of the kind that the report names', source: 'report 0x048', advice: LEAVE },
  'chain.product-mismatch': {
    title: 'report and certificates are of one processor line',
    source: 'report 0x188',
    advice: LEAVE,
  },
  'chain.tcb-mismatch': { title: 'the key is for the reported TCB', source: 'report 0x180', advice: RESTAPLE },
  'chain.chip-id-mismatch': { title: 'the key is of the reported chip', source: 'report 0x1A0', advice: RESTAPLE },
  'signature.invalid': { title: 'the report is signed by the endorsed key', source: 'report 0x2A0', advice: LEAVE },
  'policy.endorsement': {
    title: 'the policy allows the kind of endorsement key',
    source: 'report 0x048',
    advice: 'choose another provider, or name the kind under snp.endorsement',
  },
  'policy.debug': { title: 'the guest cannot be debugged', source: 'report 0x008', advice: RELAUNCH },
  'policy.migration-agent': { title: 'the guest has no migration agent', source: 'report 0x008', advice: RELAUNCH },
  'policy.smt': { title: 'SMT is as the policy wants', source: 'report 0x008', advice: RELAUNCH },
  'policy.cxl': { title: 'CXL memory is as the policy wants', source: 'report 0x008', advice: RELAUNCH },
  'policy.single-socket': { title: 'sockets are as the policy wants', source: 'report 0x008', advice: RELAUNCH },
  'policy.vmpl': { title: 'the report was asked for at an allowed VMPL', source: 'report 0x030', advice: RELAUNCH },
  'platform.alias-check': { title: 'memory was checked for aliases', source: 'report 0x040', advice: FIRMWARE },
  'platform.ciphertext-hiding': {
    title: 'ciphertext is hidden from the host',
    source: 'report 0x040',
    advice: FIRMWARE,
  },
  'platform.product': {
    title: 'the policy affirms the processor line',
    source: 'certificates',
    advice: 'choose a provider with a newer processor',
    warns: true,
  },
  'platform.unpinned': {
    title: 'the platform is the registered one',
    source: 'report 0x1A0',
    advice: 'choose a provider that registers its platform id',
    warns: true,
  },
  'tcb.inconsistent': { title: 'reported <= committed <= current TCB', source: 'report 0x180', advice: FIRMWARE },
  'tcb.provisional': {
    title: 'the current firmware is committed',
    source: 'report 0x1E0',
    advice: 'the provider must commit its firmware',
    warns: true,
  },
  'tcb.below-minimum': { title: 'the firmware is not below the minimum', source: 'report 0x180', advice: FIRMWARE },
  'tcb.launch-below-minimum': {
    title: 'the firmware at launch was not below the minimum',
    source: 'report 0x1F0',
    advice: 'the provider must start its guest again on the present firmware',
  },
  'tcb.mitigation': { title: 'the required mitigations are on', source: 'report 0x200', advice: FIRMWARE },
  'measurement.unknown': {
    title: 'the launched stack is one of the reference values',
    source: 'report 0x090',
    advice: 'choose another provider, or add the stack to measurements once you know what it is',
  },
  'measurement.host-data': {
    title: 'the host data is one of the reference values',
    source: 'report 0x0C0',
    advice: 'choose another provider, or add the value to measurements once you know what it is',
  },
  'id-block.missing': { title: 'an ID block is there if one is wanted', source: 'report 0x0E0', advice: RELAUNCH },
  'id-block.unknown': { title: 'the ID key is an allowed one', source: 'report 0x0E0', advice: LEAVE },
  'trust.simulated': {
    title: 'the evidence is from real hardware',
    source: 'certificates',
    advice: 'use it to try things out only: nothing is confidential',
    warns: true,
  },
  ...TDX_CHECKS,
} as const satisfies Record<string, CheckText>

export type CheckCode = keyof typeof CHECKS

/** Every code, in the order of spec/ATTESTATION.md#checks. */
export const CHECK_CODES = Object.keys(CHECKS) as CheckCode[]

/** One finding. */
export interface Check {
  readonly code: CheckCode
  readonly tier: Tier
  /** What holds when it passes. */
  readonly title: string
  readonly expected: string
  readonly got: string
  readonly source: string
  readonly advice: string
}

/** Whether a policy may tolerate the code as a warning; false for what is no code. */
export function isWarningCode(code: string): code is CheckCode {
  return Object.hasOwn(CHECKS, code) && 'warns' in CHECKS[code as CheckCode]
}

/** A finding that passes or refuses; `from` where the value is at another place than the code's own text says. */
export function judge(code: CheckCode, passed: boolean, expected: string, got: string, from?: string): Check {
  return rate(code, passed ? 'affirming' : 'contraindicated', expected, got, from)
}

/** A finding of any tier. Both values are made printable: parts of them may be the peer's words. */
export function rate(code: CheckCode, tier: Tier, expected: string, got: string, from?: string): Check {
  const { title, source, advice } = CHECKS[code]
  return { code, tier, title, expected: printable(expected), got: printable(got), source: from ?? source, advice }
}

/** The findings that could not be made, as tier none, for those of `codes` that `checks` lacks. */
export function unexamined(codes: readonly CheckCode[], checks: readonly Check[]): Check[] {
  const made = new Set(checks.map((check) => check.code))
  return codes.filter((code) => !made.has(code)).map((code) => rate(code, 'none', '', 'not examined'))
}

/** Contraindicated outweighs not examined, that outweighs a warning. */
const WEIGHT = { affirming: 0, warning: 1, none: 2, contraindicated: 3 } as const satisfies Record<Tier, number>

/** The worst tier of all findings; none where there is no finding. */
export function worstTier(checks: readonly Check[]): Tier {
  if (checks.length === 0) return 'none'
  return checks.reduce<Tier>((worst, { tier }) => (WEIGHT[tier] > WEIGHT[worst] ? tier : worst), 'affirming')
}

/** Longest value that a finding repeats, characters: a SHA-512 in hex. */
const MAX_TEXT = 128

function printable(text: string): string {
  const clean = text.replace(/[^\x20-\x7e]/g, '?')
  return clean.length <= MAX_TEXT ? clean : `${clean.slice(0, MAX_TEXT - 3)}...`
}
