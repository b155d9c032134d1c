/** The trust anchors: AMD's root keys, pinned by hash, and the development roots that a policy names. Pure. */
import { SIMULATED_TRUST } from '#simulated-trust'
import type { SnpProduct } from './tcb.ts'

/** A root and the only processor line that it may vouch for: a certificate's own name decides nothing. */
export interface TrustedRoot {
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string
  readonly product: SnpProduct
}

/** ARK certificates, as kdsintf.amd.com/vcek/v1/<line>/cert_chain has them. */
export const AMD_ROOTS: readonly TrustedRoot[] = [
  { fingerprint: '69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd', product: 'Milan' },
  { fingerprint: '4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1', product: 'Genoa' },
  { fingerprint: '1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a', product: 'Turin' },
]

/** AMD's roots and the named development roots; AMD's come first, so naming one of them makes it no development root. */
export function trustedRoots(simulatedRoots: readonly string[]): TrustedRoot[] {
  const named = SIMULATED_TRUST ? simulatedRoots : []
  return [...AMD_ROOTS, ...named.map((fingerprint) => ({ fingerprint, product: 'Simulated' as const }))]
}
