/**
 * What AMD's extensions in a VCEK or VLEK certificate say: line, TCB, chip. Spec: spec/ATTESTATION.md#certificates.
 * Source: AMD 57230, arc 1.3.6.1.4.1.3704.1. Pure.
 */
import { malformed, readDer, readSmallInteger, readText, TAG } from '../der.ts'
import type { Certificate } from '../x509.ts'
import type { Tcb } from './tcb.ts'

const ARC = '1.3.6.1.4.1.3704.1'
const PRODUCT_NAME = `${ARC}.2`
const HWID = `${ARC}.4`
/** FMC is there on Turin only. */
const COMPONENTS = { bl: `${ARC}.3.1`, tee: `${ARC}.3.2`, snp: `${ARC}.3.3`, ucode: `${ARC}.3.8`, fmc: `${ARC}.3.9` }

export interface Endorsement {
  readonly productName: string
  /** The firmware that the key was derived for. */
  readonly tcb: Tcb
  /** 64 bytes, 8 on Turin; absent in a VLEK certificate. */
  readonly hwid?: Uint8Array
}

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED where a value is missing or of another form. */
export function readEndorsement(certificate: Certificate): Endorsement {
  const tcb: Tcb = {
    fmc: certificate.extensions.has(COMPONENTS.fmc) ? readComponent(certificate, COMPONENTS.fmc) : 0,
    bl: readComponent(certificate, COMPONENTS.bl),
    tee: readComponent(certificate, COMPONENTS.tee),
    snp: readComponent(certificate, COMPONENTS.snp),
    ucode: readComponent(certificate, COMPONENTS.ucode),
  }
  const productName = readText(readDer(extensionValue(certificate, PRODUCT_NAME), TAG.ia5String))
  const hwid = certificate.extensions.get(HWID)?.value
  return hwid === undefined ? { productName, tcb } : { productName, tcb, hwid: unwrapHwid(hwid) }
}

function readComponent(certificate: Certificate, oid: string): number {
  const component = readSmallInteger(readDer(extensionValue(certificate, oid), TAG.integer))
  if (component > 255) throw malformed('an SVN of one byte', component)
  return component
}

function extensionValue(certificate: Certificate, oid: string): Uint8Array {
  const extension = certificate.extensions.get(oid)
  if (extension === undefined) throw malformed(`extension ${oid}`, 'none')
  return extension.value
}

/** The bytes as they are; an older encoding has them in one more OCTET STRING. */
function unwrapHwid(value: Uint8Array): Uint8Array {
  const isWrapped = value.length === 66 || value.length === 10
  const hwid = isWrapped ? readDer(value, TAG.octetString).content : value
  if (hwid.length !== 64 && hwid.length !== 8) throw malformed('a HWID of 64 or 8 bytes', hwid.length)
  return hwid
}
