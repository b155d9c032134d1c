/**
 * What makes a development root a trust anchor: the names under it, and the floor of its firmware. Without this nothing that is
 * simulated can be accepted, so a production web bundle has no-simulated-trust.ts in its place (`#simulated-trust` in
 * package.json). Spec: spec/ATTESTATION.md#simulated. Pure.
 */
import type { ProductPolicy } from './snp/policy.ts'

export interface SimulatedTrust {
  readonly snp: {
    /** Common names. */
    readonly names: { readonly root: string; readonly intermediate: string; readonly leaf: string }
    readonly floor: ProductPolicy
  }
  readonly tdx: {
    /** Common names. */
    readonly names: {
      readonly root: string
      readonly intermediates: readonly string[]
      readonly pck: string
      readonly signing: string
    }
  }
}

const NO_FLOOR = { fmc: 0, bl: 0, tee: 0, snp: 0, ucode: 0 }

/** undefined in a production bundle. */
export const SIMULATED_TRUST: SimulatedTrust | undefined = {
  snp: {
    names: { root: 'ARK-SIM', intermediate: 'ASK-SIM', leaf: 'VCEK-SIM' },
    // A development root has no firmware: trust.simulated caps what it endorses.
    floor: { minTcb: NO_FLOOR, minLaunchTcb: NO_FLOOR, minMitigation: 0, cap: 'affirming' },
  },
  tdx: {
    names: {
      root: 'SGX-ROOT-SIM',
      intermediates: ['SGX-PCK-CA-SIM'],
      pck: 'SGX-PCK-SIM',
      signing: 'SGX-TCB-SIGNING-SIM',
    },
  },
}
