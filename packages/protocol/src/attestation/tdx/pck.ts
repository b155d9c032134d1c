/**
 * What Intel's extension in a PCK certificate says: security versions, kind and identity of the platform. Pure.
 * Spec: spec/ATTESTATION.md#pck. Source: Intel SGX PCK Certificate and CRL Profile, 1.2.840.113741.1.13.1.
 */
import { DerCursor, malformed, readDer, readOid, readSmallInteger, TAG } from '../der.ts'
import type { Certificate } from '../x509.ts'

export const SGX_EXTENSION = '1.2.840.113741.1.13.1'
const TCB = `${SGX_EXTENSION}.2`
const PCE_ID = `${SGX_EXTENSION}.3`
const FMSPC = `${SGX_EXTENSION}.4`
const PLATFORM_INSTANCE_ID = `${SGX_EXTENSION}.6`
const SVNS = 16

export interface Pck {
  /** Security versions of the 16 components, and of the PCE. */
  readonly svns: Uint8Array
  readonly pceSvn: number
  readonly pceId: Uint8Array
  /** 6 bytes. */
  readonly fmspc: Uint8Array
  /** 16 bytes; only in certificates of the Platform CA. */
  readonly platformInstanceId?: Uint8Array
}

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED where a value is missing, comes twice or is of another form. */
export function readPck(certificate: Certificate): Pck {
  const extension = certificate.extensions.get(SGX_EXTENSION)
  if (extension === undefined) throw malformed(`extension ${SGX_EXTENSION}`, 'none')
  const fields = readFields(extension.value)
  const tcb = readFields(need(fields, TCB).raw)
  const svn = (n: number) => {
    const value = readSmallInteger(need(tcb, `${TCB}.${n}`, TAG.integer))
    if (value > 255) throw malformed('an SVN of one byte', value)
    return value
  }
  const id = fields.get(PLATFORM_INSTANCE_ID)
  return {
    svns: Uint8Array.from({ length: SVNS }, (_, i) => svn(i + 1)),
    pceSvn: readSmallInteger(need(tcb, `${TCB}.17`, TAG.integer)),
    pceId: octets(need(fields, PCE_ID), 2),
    fmspc: octets(need(fields, FMSPC), 6),
    ...(id === undefined ? {} : { platformInstanceId: octets(id, 16) }),
  }
}

type Field = ReturnType<DerCursor['any']>

/** SEQUENCE OF SEQUENCE { OBJECT IDENTIFIER, ANY }. */
function readFields(der: Uint8Array): Map<string, Field> {
  const fields = new Map<string, Field>()
  const cursor = new DerCursor(readDer(der, TAG.sequence).content)
  while (!cursor.isDone) {
    const pair = new DerCursor(cursor.next(TAG.sequence).content)
    const oid = readOid(pair.next(TAG.oid))
    const value = pair.any()
    pair.end()
    if (fields.has(oid)) throw malformed('each value once', oid)
    fields.set(oid, value)
  }
  return fields
}

function need(fields: ReadonlyMap<string, Field>, oid: string, tag?: number): Field {
  const field = fields.get(oid)
  if (field === undefined) throw malformed(`a value of ${oid}`, 'none')
  if (tag !== undefined && field.tag !== tag) throw malformed(`tag ${tag}`, field.tag)
  return field
}

function octets({ tag, content }: Field, length: number): Uint8Array {
  if (tag !== TAG.octetString || content.length !== length) throw malformed(`${length} octets`, content.length)
  return content
}
