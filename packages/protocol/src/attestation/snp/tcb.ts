/**
 * TCB_VERSION: eight security version numbers, whose places depend on the processor line. Spec: spec/ATTESTATION.md#tcb. Pure.
 */

/** Processor lines with a certificate chain of their own; Simulated is the development root's. */
export const SNP_PRODUCTS = ['Milan', 'Genoa', 'Turin'] as const
export type HardwareProduct = (typeof SNP_PRODUCTS)[number]
export type SnpProduct = HardwareProduct | 'Simulated'

/** Security version numbers, 0 to 255 each. */
export interface Tcb {
  /** Only Turin has one; 0 elsewhere. */
  readonly fmc: number
  readonly bl: number
  readonly tee: number
  readonly snp: number
  readonly ucode: number
}

export const TCB_COMPONENTS = ['fmc', 'bl', 'tee', 'snp', 'ucode'] as const satisfies readonly (keyof Tcb)[]

/** Byte of each component. AMD 56860, TCB_VERSION: FMC came first with Turin and moved the others. */
const CLASSIC = { bl: 0, tee: 1, snp: 6, ucode: 7 }
const TURIN = { fmc: 0, bl: 1, tee: 2, snp: 3, ucode: 7 }

/** Reads the 8 bytes by the product's layout. */
export function toTcb(bytes: Uint8Array, product: SnpProduct): Tcb {
  const at = (offset: number) => bytes[offset] ?? 0
  if (product === 'Turin') {
    const { fmc, bl, tee, snp, ucode } = TURIN
    return { fmc: at(fmc), bl: at(bl), tee: at(tee), snp: at(snp), ucode: at(ucode) }
  }
  return { fmc: 0, bl: at(CLASSIC.bl), tee: at(CLASSIC.tee), snp: at(CLASSIC.snp), ucode: at(CLASSIC.ucode) }
}

/** Bytes that no component has; set, they are a layout that we do not know. */
const RESERVED = { classic: [2, 3, 4, 5], Turin: [4, 5, 6] } as const

export function hasReservedByte(bytes: Uint8Array, product: SnpProduct): boolean {
  return RESERVED[product === 'Turin' ? 'Turin' : 'classic'].some((at) => bytes[at] !== 0)
}

/** Whether every component of `a` is at least that of `b`; never compared as one number. */
export function isAtLeast(a: Tcb, b: Tcb): boolean {
  return TCB_COMPONENTS.every((component) => a[component] >= b[component])
}

export function isSameTcb(a: Tcb, b: Tcb): boolean {
  return TCB_COMPONENTS.every((component) => a[component] === b[component])
}

/** `fmc 1 bl 1 tee 1 snp 4 ucode 81` */
export function formatTcb(tcb: Tcb): string {
  return TCB_COMPONENTS.map((component) => `${component} ${tcb[component]}`).join(' ')
}
