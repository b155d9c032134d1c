/** A TDX case as the verifier's input: collateral with its overrides, any XFAM, no minimum evaluation. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Policy, STRICT_POLICY } from '@trusted-pods/protocol/attestation/policy.ts'
import { fromDcapCollateral } from '@trusted-pods/protocol/attestation/tdx/dcap-collateral.ts'
import { type RtmrReference, STRICT_TDX_POLICY } from '@trusted-pods/protocol/attestation/tdx/policy.ts'
import { parseTdxQuote } from '@trusted-pods/protocol/attestation/tdx/quote.ts'
import { INTEL_ROOT } from '@trusted-pods/protocol/attestation/tdx/roots.ts'
import { sha256, toHex } from '@trusted-pods/protocol/bytes.ts'
import { type CaseEntry, readBytes } from './case-file.ts'
import type { CasePolicy } from './case-policy.ts'
import type { HardwareCase } from './hardware-case.ts'

export async function readTdxCase(entry: CaseEntry, folder: string, given: CasePolicy): Promise<HardwareCase> {
  if (entry.quote === undefined) throw new TypeError('no quote is named')
  const report = await readBytes(folder, entry.quote)
  const root = entry.trustedRoot === undefined ? undefined : await readBytes(folder, entry.trustedRoot)
  const fingerprint = root && toHex(await sha256(root))
  return {
    kind: 'tdx',
    parts: { report, ...(await readCollateral(entry, folder)) },
    policy: tdxCasePolicy(report, given),
    ...(fingerprint !== undefined && { anchors: { snp: [], tdx: [fingerprint] } }),
    reportData: parseTdxQuote(report).quote?.td.reportData ?? new Uint8Array(64),
    isForeign: fingerprint !== undefined && fingerprint !== INTEL_ROOT.fingerprint,
  }
}

async function readCollateral({ collateral, collateralOverrides }: CaseEntry, folder: string) {
  if (collateral === undefined || collateral === null) return {}
  const document = JSON.parse(await readFile(join(folder, collateral), 'utf8')) as object
  return fromDcapCollateral({ ...document, ...collateralOverrides })
}

/** Where a case wants no particular value, what the quote has is the reference value. */
function tdxCasePolicy(report: Uint8Array, given: CasePolicy): Policy {
  const td = parseTdxQuote(report).quote?.td
  const values = (value: Uint8Array | undefined): RtmrReference => ({ kind: 'values', values: [hex(value)] })
  const [r0, r1, r2, r3] = td?.rtmrs ?? []
  const tdx = {
    mrtd: [hex(td?.mrtd)],
    rtmr: [values(r0), values(r1), values(r2), values(r3)] as const,
    mrConfigId: [hex(td?.mrConfigId)],
    mrOwner: [hex(td?.mrOwner)],
    mrOwnerConfig: [hex(td?.mrOwnerConfig)],
  }
  return {
    ...STRICT_POLICY,
    evidence: ['tdx'],
    freshness: { ...STRICT_POLICY.freshness, revocation: given.revocation ?? 'required' },
    platform: { pinning: 'none' },
    measurements: [{ name: 'reference', tdx }],
    tdx: { ...STRICT_TDX_POLICY, minTcbEvaluationDataNumber: 0, xfam: { mask: 0n, value: 0n } },
  }
}

function hex(value: Uint8Array | undefined): string {
  return value === undefined ? '' : toHex(value)
}
