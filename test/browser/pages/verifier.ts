/** The verifier as a web page has it: what is measured, and what is judged with. */
import { appraise } from '@trusted-pods/protocol/attestation/appraise.ts'
import { parsePolicy, STRICT_POLICY } from '@trusted-pods/protocol/attestation/policy.ts'
import { formatVerdict, isAccepted } from '@trusted-pods/protocol/attestation/verdict.ts'

const verifier = { appraise, parsePolicy, STRICT_POLICY, isAccepted, formatVerdict }
export type Verifier = typeof verifier

Object.assign(globalThis, { verifier })
