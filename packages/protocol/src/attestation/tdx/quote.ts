/**
 * A TDX quote, version 4 or 5, signed by ECDSA P-256. Reads and proves nothing. Spec: spec/ATTESTATION.md#quote.
 * Source: Intel TDX DCAP Quoting Library API, appendix A.3 and A.4. Integers are little-endian.
 */
import { type Check, judge } from '../checks.ts'

/** What the TDX module says of the guest: TD report 1.0, and two fields more in 1.5. */
export interface TdReport {
  /** [0] SVN of the module, [1] its major version, [2] SVN of the microcode. */
  readonly teeTcbSvn: Uint8Array
  readonly mrSignerSeam: Uint8Array
  readonly seamAttributes: Uint8Array
  readonly tdAttributes: bigint
  readonly xfam: bigint
  readonly mrtd: Uint8Array
  readonly mrConfigId: Uint8Array
  readonly mrOwner: Uint8Array
  readonly mrOwnerConfig: Uint8Array
  readonly rtmrs: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  readonly reportData: Uint8Array
  /** Of the module that runs now, where the launch was on another; TD report 1.5 only. */
  readonly teeTcbSvn2?: Uint8Array
  readonly mrServiceTd?: Uint8Array
}

/** The report of the quoting enclave, an SGX report of 384 bytes. */
export interface QeReport {
  readonly raw: Uint8Array
  readonly miscSelect: Uint8Array
  readonly attributes: Uint8Array
  readonly mrSigner: Uint8Array
  readonly isvProdId: number
  readonly isvSvn: number
  readonly reportData: Uint8Array
}

export interface TdxQuote {
  readonly version: number
  readonly qeVendor: Uint8Array
  readonly td: TdReport
  /** What the attestation key signed: header and body. */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
  /** x and y of the attestation key, 32 bytes each. */
  readonly attestationKey: Uint8Array
  readonly qe: QeReport
  readonly qeSignature: Uint8Array
  readonly qeAuthData: Uint8Array
  /** The PCK chain, PEM. */
  readonly pckChain: Uint8Array
}

export const HEADER_BYTES = 48
export const TD_10_BYTES = 584
export const TD_15_BYTES = 648
export const TEE_TYPE_TDX = 0x81
export const QE_REPORT_BYTES = 384
/** ECDSA-P256 attestation key. */
export const KEY_TYPE_P256 = 2
/** Certification data: QE report and what follows; PEM chain of the PCK. */
export const CERTIFICATION_QE_REPORT = 6
export const CERTIFICATION_PCK_CHAIN = 5
/** Body types of version 5. */
const BODY_LENGTHS: Readonly<Record<number, number>> = { 2: TD_10_BYTES, 3: TD_15_BYTES }
const SIGNATURE_BYTES = 64

/** The quote, unless a check fails after which nothing has a known place; the checks either way. */
export function parseTdxQuote(raw: Uint8Array): { quote?: TdxQuote; checks: Check[] } {
  const reader = new QuoteReader(raw)
  const header = reader.take(HEADER_BYTES)
  if (header === undefined) return { checks: [checkLength(raw, 'no header')] }
  const checks = checkHeader(header)
  if (!arePassed(checks)) return { checks }
  const version = readU16(header, 0)
  const { body, fault } = readBody(reader, version)
  if (body === undefined && fault === undefined) return { checks: [...checks, checkLength(raw, 'no body')] }
  checks.push(judge('format.body', body !== undefined, '2 of 584 or 3 of 648 bytes', fault ?? 'one of them'))
  if (body === undefined) return { checks }
  const signed = raw.subarray(0, reader.offset)
  const parts = readSignatureData(reader)
  if (typeof parts === 'string') return { checks: [...checks, checkLength(raw, parts)] }
  const { types, qeReport, ...rest } = parts
  checks.push(judge('format.cert-type', qeReport !== undefined && types === WANTED_TYPES, WANTED_TYPES, types))
  if (qeReport === undefined || types !== WANTED_TYPES) return { checks }
  checks.push(checkLength(raw), checkTrailing(reader.rest()))
  const qe = parseQeReport(qeReport)
  return { checks, quote: { version, qeVendor: header.subarray(12, 28), td: parseTdReport(body), signed, qe, ...rest } }
}

/** Outer and inner certification data. */
const WANTED_TYPES = `${CERTIFICATION_QE_REPORT}, ${CERTIFICATION_PCK_CHAIN}`

/** Another version has other places for all else, so alone it ends the list. */
function checkHeader(header: Uint8Array): Check[] {
  const version = readU16(header, 0)
  const keyType = readU16(header, 2)
  const teeType = readU32(header, 4)
  const known = judge('format.version', version === 4 || version === 5, '4 or 5', String(version), 'quote 0x000')
  if (!arePassed([known])) return [known]
  return [
    known,
    judge('format.algorithm', keyType === KEY_TYPE_P256, String(KEY_TYPE_P256), String(keyType), 'quote 0x002'),
    judge('format.tee-type', teeType === TEE_TYPE_TDX, hex(TEE_TYPE_TDX), hex(teeType)),
  ]
}

function arePassed(checks: readonly Check[]): boolean {
  return checks.every(({ tier }) => tier === 'affirming')
}

function checkLength(raw: Uint8Array, fault?: string): Check {
  const got = `${raw.length} bytes`
  return judge('format.length', fault === undefined, 'all parts', fault ? `${fault} in ${got}` : got, 'quote')
}

/** Quoting services pad by zeros; anything else there is not signed, so nobody vouches for it. */
function checkTrailing(rest: Uint8Array): Check {
  const at = rest.findIndex((byte) => byte !== 0)
  return judge('format.trailing', at === -1, 'only zeros', at === -1 ? `${rest.length} zeros` : `others after ${at}`)
}

/** The body, unless it is cut off; what is wrong with its type. */
function readBody(reader: QuoteReader, version: number): { body?: Uint8Array | undefined; fault?: string } {
  if (version === 4) return { body: reader.take(TD_10_BYTES) }
  const head = reader.take(6)
  if (head === undefined) return {}
  const type = readU16(head, 0)
  const length = readU32(head, 2)
  return BODY_LENGTHS[type] === length ? { body: reader.take(length) } : { fault: `${type} of ${length} bytes` }
}

/** Signature, key and certification data, whose lengths must agree; what is wrong where they do not. */
function readSignatureData(outer: QuoteReader) {
  const all = outer.takeCounted(4)
  if (all === undefined) return 'no signature data'
  const reader = new QuoteReader(all)
  const signature = reader.take(SIGNATURE_BYTES)
  const attestationKey = reader.take(SIGNATURE_BYTES)
  const outerType = reader.takeU16()
  const certification = reader.takeCounted(4)
  if (!signature || !attestationKey || outerType === undefined || !certification) return 'no certification data'
  if (!reader.isDone) return 'more than the signature data'
  const empty = new Uint8Array()
  const head = {
    signature,
    attestationKey,
    qeReport: undefined,
    qeSignature: empty,
    qeAuthData: empty,
    pckChain: empty,
  }
  if (outerType !== CERTIFICATION_QE_REPORT) return { ...head, types: String(outerType) }
  const inner = new QuoteReader(certification)
  const qeReport = inner.take(QE_REPORT_BYTES)
  const qeSignature = inner.take(SIGNATURE_BYTES)
  const qeAuthData = inner.takeCounted(2)
  const innerType = inner.takeU16()
  const pckChain = inner.takeCounted(4)
  if (!qeReport || !qeSignature || !qeAuthData || innerType === undefined || !pckChain)
    return 'no QE report or PCK chain'
  if (!inner.isDone) return 'more than the certification data'
  return { signature, attestationKey, qeReport, qeSignature, qeAuthData, pckChain, types: `${outerType}, ${innerType}` }
}

function parseTdReport(body: Uint8Array): TdReport {
  const bytes = (offset: number, length: number) => body.subarray(offset, offset + length)
  const td = {
    teeTcbSvn: bytes(0, 16),
    mrSignerSeam: bytes(64, 48), // 16: MRSEAM [48]
    seamAttributes: bytes(112, 8),
    tdAttributes: readU64(body, 120),
    xfam: readU64(body, 128),
    mrtd: bytes(136, 48),
    mrConfigId: bytes(184, 48),
    mrOwner: bytes(232, 48),
    mrOwnerConfig: bytes(280, 48),
    rtmrs: [bytes(328, 48), bytes(376, 48), bytes(424, 48), bytes(472, 48)] as const,
    reportData: bytes(520, 64),
  }
  return body.length === TD_15_BYTES ? { ...td, teeTcbSvn2: bytes(584, 16), mrServiceTd: bytes(600, 48) } : td
}

// SGX REPORT: CPUSVN [16], MISCSELECT @16, ATTRIBUTES @48, MRENCLAVE @64, MRSIGNER @128, ISVPRODID @256, ISVSVN @258
function parseQeReport(raw: Uint8Array): QeReport {
  return {
    raw,
    miscSelect: raw.subarray(16, 20),
    attributes: raw.subarray(48, 64),
    mrSigner: raw.subarray(128, 160),
    isvProdId: readU16(raw, 256),
    isvSvn: readU16(raw, 258),
    reportData: raw.subarray(320, 384),
  }
}

/** Takes bytes one part after another; undefined where there are too few. */
class QuoteReader {
  readonly #bytes: Uint8Array
  offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get isDone(): boolean {
    return this.offset === this.#bytes.length
  }

  take(length: number): Uint8Array | undefined {
    if (length > this.#bytes.length - this.offset) return undefined
    this.offset += length
    return this.#bytes.subarray(this.offset - length, this.offset)
  }

  takeU16(): number | undefined {
    const bytes = this.take(2)
    return bytes && readU16(bytes, 0)
  }

  /** A length of 2 or 4 bytes, then so many bytes. */
  takeCounted(lengthBytes: 2 | 4): Uint8Array | undefined {
    const head = this.take(lengthBytes)
    return head && this.take(lengthBytes === 2 ? readU16(head, 0) : readU32(head, 0))
  }

  rest(): Uint8Array {
    return this.#bytes.subarray(this.offset)
  }
}

function readU16(bytes: Uint8Array, offset: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint16(offset, true)
}

function readU32(bytes: Uint8Array, offset: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(offset, true)
}

function readU64(bytes: Uint8Array, offset: number): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getBigUint64(offset, true)
}

function hex(value: number): string {
  return `0x${value.toString(16)}`
}
