/** Processor lines: how their certificates are named and which CPUID they have. Spec: spec/ATTESTATION.md#products. Pure. */
import { SIMULATED_TRUST } from '#simulated-trust'
import type { EndorsementKind } from './policy.ts'
import type { SnpReport } from './report.ts'
import { SNP_PRODUCTS, type SnpProduct } from './tcb.ts'

/** Names that the certificates of a line must have. */
export interface ChainNames {
  readonly organization: string
  readonly root: string
  readonly intermediate: string
  readonly leaf: string
}

const AMD = 'Advanced Micro Devices'

/** Organisation of every certificate under a development root: no production line has it. */
export const SIMULATION_ORGANIZATION = 'Trusted Pods SIMULATION'
/**
 * Critical extension of every simulated certificate: 2.25.<a UUID of ours>, which needs no registration (X.667).
 * The rules of production lines do not know it, so they refuse it.
 */
export const SIMULATION_EXTENSION = '2.25.151639115829299301707949679876022082490'
/** First bytes of FAMILY_ID in every simulated report: "TPSIM". Pure, or bundles that do not use it would keep it. */
export const SIMULATION_FAMILY = /* @__PURE__ */ new Uint8Array([0x54, 0x50, 0x53, 0x49, 0x4d])

/** MEASUREMENT of every simulated report: SHA-384 of "Trusted Pods SIMULATION: nothing is measured". */
export const SIMULATION_MEASUREMENT =
  '1ccc395f788530d07ef524fc6937c472f96532f1d375003052d67ed51c714a52c967fffbf7c1b6f0bc060cd62ea4ae12'

/** In AMD's form where there is no simulation: what calls itself simulated fails them. */
export function chainNames(product: SnpProduct, kind: EndorsementKind): ChainNames {
  if (product === 'Simulated' && SIMULATED_TRUST) {
    return { organization: SIMULATION_ORGANIZATION, ...SIMULATED_TRUST.snp.names }
  }
  const intermediate = kind === 'vlek' ? `SEV-VLEK-${product}` : `SEV-${product}`
  return { organization: AMD, root: `ARK-${product}`, intermediate, leaf: kind === 'vlek' ? 'SEV-VLEK' : 'SEV-VCEK' }
}

/** The kind of key by the common name of its certificate. */
export function endorsementKind(commonName: string): EndorsementKind | undefined {
  if (commonName === 'SEV-VLEK') return 'vlek'
  return commonName === 'SEV-VCEK' || commonName === SIMULATED_TRUST?.snp.names.leaf ? 'vcek' : undefined
}

/** Processors that AMD endorses with the keys of another line (AMD 57230). */
const ENDORSED_AS: Readonly<Record<string, SnpProduct>> = { Siena: 'Genoa' }

/** The line by productName of the certificate: a name, then nothing or `-` and a stepping ("Milan-B0"). */
export function productByName(name: string): SnpProduct | undefined {
  const [family = ''] = name.split('-', 1)
  if (Object.hasOwn(ENDORSED_AS, family)) return ENDORSED_AS[family]
  return [...SNP_PRODUCTS, 'Simulated' as const].find((line) => family === line)
}

/**
 * The line by the report's CPUID (virtee/sev and AMD's ranges; Bergamo and Siena are endorsed as Genoa). Simulated reports
 * have none. undefined: unknown, and version 2 reports, which have none either.
 */
export function productByCpuid({ version, cpuid: { family, model, stepping } }: SnpReport): SnpProduct | undefined {
  if (version < 3) return undefined
  if (family === 0 && model === 0 && stepping === 0) return 'Simulated'
  if (family === 0x19) {
    if (model <= 0x0f) return 'Milan'
    return (model >= 0x10 && model <= 0x1f) || (model >= 0xa0 && model <= 0xaf) ? 'Genoa' : undefined
  }
  return family === 0x1a && model <= 0x11 ? 'Turin' : undefined
}
