/** The trust anchors for TDX, and the names that certificates under them must have. Spec: spec/ATTESTATION.md#tdx-certificates. Pure. */
import { SIMULATED_TRUST } from '#simulated-trust'
import { SIMULATION_ORGANIZATION } from '../snp/product.ts'

/** Who made the root: a certificate's own name decides nothing. */
export type TdxMaker = 'Intel' | 'Simulated'

export interface TdxRoot {
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string
  readonly maker: TdxMaker
}

/** Intel SGX Root CA, as certificates.trustedservices.intel.com/IntelSGXRootCA.der has it. */
export const INTEL_ROOT: TdxRoot = {
  fingerprint: '44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3',
  maker: 'Intel',
}

/** Intel's root and the named development roots; Intel's comes first, so naming it makes it no development root. */
export function tdxRoots(simulatedRoots: readonly string[]): TdxRoot[] {
  const named = SIMULATED_TRUST ? simulatedRoots : []
  return [INTEL_ROOT, ...named.map((fingerprint) => ({ fingerprint, maker: 'Simulated' as const }))]
}

export interface TdxNames {
  readonly organization: string
  readonly root: string
  /** The CAs that may issue a PCK certificate. */
  readonly intermediates: readonly string[]
  readonly pck: string
  readonly signing: string
}

const INTEL_NAMES: TdxNames = {
  organization: 'Intel Corporation',
  root: 'Intel SGX Root CA',
  intermediates: ['Intel SGX PCK Platform CA', 'Intel SGX PCK Processor CA'],
  pck: 'Intel SGX PCK Certificate',
  signing: 'Intel SGX TCB Signing',
}

/** Intel's where there is no simulation: what calls itself simulated fails them. */
export function tdxNames(maker: TdxMaker): TdxNames {
  if (maker === 'Intel' || !SIMULATED_TRUST) return INTEL_NAMES
  return { organization: SIMULATION_ORGANIZATION, ...SIMULATED_TRUST.tdx.names }
}
