/** Makes SNP evidence in AMD's forms under keys of our own, with the extensions that AMD's certificates have. */
import { generateKeyPair, type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import type { EndorsementKind } from '@trusted-pods/protocol/attestation/snp/policy.ts'
import { chainNames } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { REPORT_BYTES, SIGNED_BYTES } from '@trusted-pods/protocol/attestation/snp/report.ts'
import type { HardwareProduct } from '@trusted-pods/protocol/attestation/snp/tcb.ts'
import { der, integer, octetString, sequence } from '@trusted-pods/provider/attester/der-writer.ts'
import {
  authorityExtensions,
  extension,
  issueCertificate,
  issueCrl,
  vcekExtensions,
} from '@trusted-pods/provider/attester/development-certificate.ts'

const NOT_BEFORE = new Date('2025-01-01T00:00:00Z')
const NOT_AFTER = new Date('2032-01-01T00:00:00Z')
export const CHIP_ID = Uint8Array.from({ length: 64 }, (_, i) => i + 1)
export const TCB = { bl: 4, tee: 0, snp: 24, ucode: 219 }

const generate = promisify(generateKeyPair)
const signAsync = promisify(sign)

/** Serial numbers of the certificates; AMD's VCEKs all have 0. */
export const SERIALS = { ark: 0x10001, ask: 0x10002, asvk: 0x10003 }

export interface SyntheticChain {
  readonly product: HardwareProduct
  readonly arkKey: KeyObject
  readonly ark: Uint8Array
  readonly intermediates: Readonly<Record<EndorsementKind, Uint8Array>>
  readonly leaves: Readonly<Record<EndorsementKind, Uint8Array>>
  readonly leafKeys: Readonly<Record<EndorsementKind, KeyObject>>
}

/** ARK, ASK and ASVK, VCEK and VLEK of one processor line. Takes some seconds: three RSA-4096 keys. */
export async function makeSyntheticChain(product: 'Milan' | 'Genoa'): Promise<SyntheticChain> {
  const names = { vcek: chainNames(product, 'vcek'), vlek: chainNames(product, 'vlek') }
  const rsa = () => generate('rsa', { modulusLength: 4096 })
  const [ark, ask, asvk, vcek, vlek] = await Promise.all([
    rsa(),
    rsa(),
    rsa(),
    generate('ec', { namedCurve: 'P-384' }),
    generate('ec', { namedCurve: 'P-384' }),
  ])
  const { organization } = names.vcek
  const named = (commonName: string) => ({ organization, commonName })
  const root = named(names.vcek.root)
  const validity = { notBefore: NOT_BEFORE, notAfter: NOT_AFTER }
  const keyId = (key: KeyObject) => new Uint8Array(key.export({ type: 'spki', format: 'der' }).subarray(-20))
  const authority = (kind: EndorsementKind, serial: number, publicKey: KeyObject) =>
    issueCertificate({
      serial,
      subject: named(names[kind].intermediate),
      publicKey,
      issuer: root,
      issuerKey: ark.privateKey,
      ...validity,
      extensions: [
        ...authorityExtensions({ pathLength: 0, signsLists: false }),
        ...keyIds(keyId(ark.publicKey), keyId(publicKey)),
        crlPoint(kind, product),
      ],
    })
  const leaf = (kind: EndorsementKind, publicKey: KeyObject, issuerKey: KeyObject) =>
    issueCertificate({
      serial: 0,
      subject: named(names[kind].leaf),
      publicKey,
      issuer: named(names[kind].intermediate),
      issuerKey,
      ...validity,
      extensions: leafExtensions(kind, product),
    })
  return {
    product,
    arkKey: ark.privateKey,
    ark: await issueCertificate({
      serial: SERIALS.ark,
      subject: root,
      publicKey: ark.publicKey,
      issuer: root,
      issuerKey: ark.privateKey,
      ...validity,
      extensions: [
        ...authorityExtensions({ signsLists: true }),
        ...keyIds(keyId(ark.publicKey), keyId(ark.publicKey)),
        crlPoint('vcek', product),
      ],
    }),
    intermediates: {
      vcek: await authority('vcek', SERIALS.ask, ask.publicKey),
      vlek: await authority('vlek', SERIALS.asvk, asvk.publicKey),
    },
    leaves: {
      vcek: await leaf('vcek', vcek.publicKey, ask.privateKey),
      vlek: await leaf('vlek', vlek.publicKey, asvk.privateKey),
    },
    leafKeys: { vcek: vcek.privateKey, vlek: vlek.privateKey },
  }
}

function leafExtensions(kind: EndorsementKind, product: string): Uint8Array[] {
  const hwid = CHIP_ID
  const all = vcekExtensions({ productName: kind === 'vcek' ? `${product}-B0` : product, tcb: TCB, hwid })
  return kind === 'vcek' ? all : all.slice(0, -1)
}

/** authorityKeyIdentifier and subjectKeyIdentifier, RFC 5280 §4.2.1.1 and .2. */
function keyIds(authority: Uint8Array, subject: Uint8Array): Uint8Array[] {
  return [
    extension('2.5.29.35', sequence(der(0x80, authority)), { critical: false }),
    extension('2.5.29.14', octetString(subject), { critical: false }),
  ]
}

/** cRLDistributionPoints with the URL of AMD's KDS. */
function crlPoint(kind: EndorsementKind, product: string): Uint8Array {
  const url = new TextEncoder().encode(`https://kdsintf.amd.com/${kind}/v1/${product}/crl`)
  return extension('2.5.29.31', sequence(sequence(der(0xa0, der(0xa0, der(0x86, url))))), { critical: false })
}

export interface ListRequest {
  readonly revoked?: readonly number[]
  readonly thisUpdate?: Date
  readonly nextUpdate?: Date
  /** Besides the CRL number. */
  readonly extensions?: readonly Uint8Array[]
}

/** A list of the root's with a CRL number, as AMD's have. */
export function makeList({ arkKey, product }: SyntheticChain, request: ListRequest = {}): Promise<Uint8Array> {
  const { organization, root } = chainNames(product, 'vcek')
  return issueCrl({
    issuer: { organization, commonName: root },
    issuerKey: arkKey,
    thisUpdate: request.thisUpdate ?? new Date('2026-01-01T00:00:00Z'),
    nextUpdate: request.nextUpdate ?? new Date('2027-01-01T00:00:00Z'),
    ...(request.revoked && { revoked: request.revoked }),
    extensions: [extension('2.5.29.20', integer(7), { critical: false }), ...(request.extensions ?? [])],
  })
}

/** issuingDistributionPoint, which is critical: the list is about a part of what the root issued. RFC 5280 §5.2.5. */
export function partialList(): Uint8Array {
  return extension('2.5.29.28', sequence(der(0x81, new Uint8Array([0xff]))), { critical: true })
}

/** A version 5 report of a Milan guest with everything right; `change` edits it before it is signed. */
export async function makeReport(
  { leafKeys }: SyntheticChain,
  kind: EndorsementKind,
  change: (view: DataView, report: Uint8Array) => void = () => undefined,
): Promise<Uint8Array> {
  const report = new Uint8Array(REPORT_BYTES)
  const view = new DataView(report.buffer)
  view.setUint32(0x000, 5, true) // VERSION
  view.setUint32(0x008, 0x30000, true) // POLICY: SMT allowed, bit 17
  view.setUint32(0x034, 1, true) // SIGNATURE_ALGO
  view.setUint32(0x040, 0x25, true) // PLATFORM_INFO: SMT, ECC, alias check complete
  view.setUint32(0x048, kind === 'vlek' ? 1 << 2 : 0, true) // KEY_INFO
  report.fill(0xd0, 0x050, 0x090) // REPORT_DATA
  report.fill(0xa0, 0x090, 0x0c0) // MEASUREMENT
  report.fill(0xff, 0x160, 0x180) // REPORT_ID_MA: no migration agent
  for (const at of [0x038, 0x180, 0x1e0, 0x1f0]) report.set([TCB.bl, TCB.tee, 0, 0, 0, 0, TCB.snp, TCB.ucode], at)
  report.set([0x19, 0x01, 0x01], 0x188) // CPUID: Milan
  if (kind === 'vcek') report.set(CHIP_ID, 0x1a0)
  change(view, report)
  const signature = await signAsync('sha384', report.subarray(0, SIGNED_BYTES), {
    key: leafKeys[kind],
    dsaEncoding: 'ieee-p1363',
  })
  report.set(new Uint8Array(signature.subarray(0, 48)).reverse(), SIGNED_BYTES)
  report.set(new Uint8Array(signature.subarray(48)).reverse(), SIGNED_BYTES + 72)
  return report
}
