/** A TDX case as the verifier's input. */
import { STRICT_POLICY } from '@trusted-pods/protocol/attestation/policy.ts'
import { type CaseEntry, readBytes } from './case-file.ts'
import type { CasePolicy } from './case-policy.ts'
import type { HardwareCase } from './hardware-case.ts'

export async function readTdxCase(entry: CaseEntry, folder: string, given: CasePolicy): Promise<HardwareCase> {
  if (entry.quote === undefined) throw new TypeError('no quote is named')
  const report = await readBytes(folder, entry.quote)
  const { freshness } = STRICT_POLICY
  return {
    kind: 'tdx',
    parts: { report },
    policy: {
      ...STRICT_POLICY,
      freshness: { ...freshness, revocation: given.revocation ?? 'required' },
      evidence: ['tdx'],
    },
    reportData: new Uint8Array(64),
    isForeign: false,
  }
}
