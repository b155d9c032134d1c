/** The SEV-SNP part of a policy. Spec: spec/ATTESTATION.md#policy. Pure. */
import { readHex, readInteger, readList, readOneOf, readRecord } from '../policy-reader.ts'
import { type HardwareProduct, SNP_PRODUCTS, type Tcb } from './tcb.ts'

/** Kinds of key that sign reports: of the chip, or of a cloud operator. */
export const ENDORSEMENT_KINDS = ['vcek', 'vlek'] as const
export type EndorsementKind = (typeof ENDORSEMENT_KINDS)[number]

export interface ProductPolicy {
  readonly minTcb: Tcb
  /** What the guest was launched on. */
  readonly minLaunchTcb: Tcb
  /** Bits that CURRENT_MIT_VECTOR must have; 0: none. Reports before version 5 have none. */
  readonly minMitigation: number
  /** The best tier that the line can get. */
  readonly cap: 'affirming' | 'warning'
}

export interface SnpPolicy {
  /** Lines that are not named are refused. */
  readonly products: Partial<Record<HardwareProduct, ProductPolicy>>
  readonly endorsement: readonly EndorsementKind[]
  readonly policy: {
    /** A guest that can be debugged keeps no secret: no policy can allow it. */
    readonly debug: false
    readonly migrationAgent: boolean
    readonly smt: boolean
    readonly cxl: boolean
    /** true: the guest must be bound to one socket. */
    readonly singleSocket: true | 'any'
    readonly vmpl: readonly number[]
  }
  readonly platformInfo: { readonly aliasCheckComplete: true | 'any'; readonly ciphertextHidingDram: true | 'any' }
  /** any: no ID block is asked for; else the SHA-384 digests of the ID keys that are. */
  readonly idKeyDigests: 'any' | readonly string[]
}

const GENOA_FLOOR: Tcb = { fmc: 0, bl: 10, tee: 0, snp: 23, ucode: 84 }
const TURIN_FLOOR: Tcb = { fmc: 1, bl: 1, tee: 1, snp: 4, ucode: 81 }
const MILAN_FLOOR: Tcb = { fmc: 0, bl: 4, tee: 0, snp: 24, ucode: 219 }

/** Floors are what maintained machines of 2025 report. Milan's chip seed can be read by software, so it is capped. */
export const STRICT_SNP_POLICY: SnpPolicy = {
  products: {
    Turin: { minTcb: TURIN_FLOOR, minLaunchTcb: TURIN_FLOOR, minMitigation: 0, cap: 'affirming' },
    Genoa: { minTcb: GENOA_FLOOR, minLaunchTcb: GENOA_FLOOR, minMitigation: 0, cap: 'affirming' },
    Milan: { minTcb: MILAN_FLOOR, minLaunchTcb: MILAN_FLOOR, minMitigation: 0, cap: 'warning' },
  },
  endorsement: ['vcek'],
  policy: { debug: false, migrationAgent: false, smt: true, cxl: false, singleSocket: 'any', vmpl: [0] },
  platformInfo: { aliasCheckComplete: true, ciphertextHidingDram: 'any' },
  idKeyDigests: 'any',
}

/** @throws TrustedPodsError ATTEST_POLICY_INVALID */
export function parseSnpPolicy(value: unknown, path: string): SnpPolicy {
  const keys = ['products', 'endorsement', 'policy', 'platformInfo', 'idKeyDigests'] as const
  const record = readRecord(value, path, keys)
  return {
    products: parseProducts(record.products, `${path}.products`),
    endorsement: readList(record.endorsement, `${path}.endorsement`, (item, at) =>
      readOneOf(item, at, ENDORSEMENT_KINDS),
    ),
    policy: parseGuestPolicy(record.policy, `${path}.policy`),
    platformInfo: parsePlatformInfo(record.platformInfo, `${path}.platformInfo`),
    idKeyDigests: parseIdKeyDigests(record.idKeyDigests, `${path}.idKeyDigests`),
  }
}

function parseProducts(value: unknown, path: string): Partial<Record<HardwareProduct, ProductPolicy>> {
  const record = readRecord(value, path, [], SNP_PRODUCTS)
  const products: Partial<Record<HardwareProduct, ProductPolicy>> = {}
  for (const product of SNP_PRODUCTS) {
    if (record[product] !== undefined) products[product] = parseProduct(record[product], product, `${path}.${product}`)
  }
  return products
}

/** Left out, minLaunchTcb is minTcb, and cap is what STRICT_SNP_POLICY has. */
function parseProduct(value: unknown, product: HardwareProduct, path: string): ProductPolicy {
  const record = readRecord(value, path, ['minTcb', 'minMitigation'], ['minLaunchTcb', 'cap'])
  const minTcb = parseTcb(record.minTcb, product, `${path}.minTcb`)
  return {
    minTcb,
    minLaunchTcb:
      record.minLaunchTcb === undefined ? minTcb : parseTcb(record.minLaunchTcb, product, `${path}.minLaunchTcb`),
    minMitigation: readInteger(record.minMitigation, `${path}.minMitigation`, 0, 0xffffffff),
    cap:
      record.cap === undefined ? defaultCap(product) : readOneOf(record.cap, `${path}.cap`, ['affirming', 'warning']),
  }
}

function defaultCap(product: HardwareProduct): 'affirming' | 'warning' {
  return product === 'Milan' ? 'warning' : 'affirming'
}

function parseTcb(value: unknown, product: HardwareProduct, path: string): Tcb {
  const classic = ['bl', 'tee', 'snp', 'ucode'] as const
  const record: Partial<Record<keyof Tcb, unknown>> =
    product === 'Turin' ? readRecord(value, path, ['fmc', ...classic]) : readRecord(value, path, classic)
  const component = (name: keyof Tcb) => readInteger(record[name], `${path}.${name}`, 0, 255)
  return {
    fmc: product === 'Turin' ? component('fmc') : 0,
    bl: component('bl'),
    tee: component('tee'),
    snp: component('snp'),
    ucode: component('ucode'),
  }
}

function parseGuestPolicy(value: unknown, path: string): SnpPolicy['policy'] {
  const keys = ['debug', 'migrationAgent', 'smt', 'cxl', 'singleSocket', 'vmpl'] as const
  const record = readRecord(value, path, keys)
  const flag = (name: (typeof keys)[number]) => readOneOf(record[name], `${path}.${name}`, [true, false])
  return {
    debug: readOneOf(record.debug, `${path}.debug`, [false]),
    migrationAgent: flag('migrationAgent'),
    smt: flag('smt'),
    cxl: flag('cxl'),
    singleSocket: readOneOf(record.singleSocket, `${path}.singleSocket`, [true, 'any']),
    vmpl: readList(record.vmpl, `${path}.vmpl`, (item, at) => readInteger(item, at, 0, 3)),
  }
}

function parsePlatformInfo(value: unknown, path: string): SnpPolicy['platformInfo'] {
  const record = readRecord(value, path, ['aliasCheckComplete', 'ciphertextHidingDram'])
  return {
    aliasCheckComplete: readOneOf(record.aliasCheckComplete, `${path}.aliasCheckComplete`, [true, 'any']),
    ciphertextHidingDram: readOneOf(record.ciphertextHidingDram, `${path}.ciphertextHidingDram`, [true, 'any']),
  }
}

function parseIdKeyDigests(value: unknown, path: string): 'any' | string[] {
  return value === 'any' ? value : readList(value, path, (item, at) => readHex(item, at, 48))
}
