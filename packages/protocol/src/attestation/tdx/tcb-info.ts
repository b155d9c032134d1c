/**
 * Intel's TCB info: which security versions of a kind of platform are good, and which are not. Reads and proves nothing.
 * Spec: spec/ATTESTATION.md#collateral. Source: Intel PCS API version 4, TCB info V3. Pure.
 */
import {
  malformed,
  parseJson,
  readArray,
  readBytes,
  readDate,
  readNumber,
  readObject,
  readText,
} from './json-reader.ts'

/** Intel's words for a TCB level. */
export const TCB_STATUSES = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'Revoked',
] as const
export type LevelStatus = (typeof TCB_STATUSES)[number]

/** A level: who has at least these versions has this status. */
export interface SvnLevel {
  readonly isvSvn: number
  readonly status: LevelStatus
  readonly date: Date
  readonly advisories: readonly string[]
}

export interface TcbLevel {
  /** 16 versions each. */
  readonly sgx: Uint8Array
  readonly tdx: Uint8Array
  readonly pceSvn: number
  readonly status: LevelStatus
  readonly date: Date
  readonly advisories: readonly string[]
}

/** Whose signature a TDX module must have. */
export interface ModuleSigner {
  readonly mrSigner: Uint8Array
  readonly attributes: Uint8Array
}

export interface ModuleIdentity extends ModuleSigner {
  /** "TDX_01" for major version 1. */
  readonly id: string
  readonly levels: readonly SvnLevel[]
}

/** What collateral of both kinds has in common. */
export interface CollateralHead {
  readonly id: string
  readonly version: number
  readonly issueDate: Date
  readonly nextUpdate: Date
  readonly evaluationNumber: number
}

export interface TcbInfo extends CollateralHead {
  readonly fmspc: Uint8Array
  readonly pceId: Uint8Array
  /** undefined in an SGX TCB info. */
  readonly module: ModuleSigner | undefined
  readonly modules: readonly ModuleIdentity[]
  /** In the order of the document, best first. */
  readonly levels: readonly TcbLevel[]
}

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED */
export function parseTcbInfo(body: Uint8Array): TcbInfo {
  const value = readObject(parseJson(body), 'body')
  const modules = value.tdxModuleIdentities
  // Another type would count the components of a level in another way.
  if (value.tcbType !== 0) throw malformed('tcbType', '0')
  return {
    ...readHead(value),
    fmspc: readBytes(value.fmspc, 'fmspc', 6),
    pceId: readBytes(value.pceId, 'pceId', 2),
    module:
      value.tdxModule === undefined ? undefined : readSigner(readObject(value.tdxModule, 'tdxModule'), 'tdxModule'),
    modules: modules === undefined ? [] : readArray(modules, 'tdxModuleIdentities', readModule),
    levels: readArray(value.tcbLevels, 'tcbLevels', readTcbLevel),
  }
}

export function readHead(value: Record<string, unknown>): CollateralHead {
  return {
    id: readText(value.id, 'id'),
    version: readNumber(value.version, 'version', 255),
    issueDate: readDate(value.issueDate, 'issueDate'),
    nextUpdate: readDate(value.nextUpdate, 'nextUpdate'),
    evaluationNumber: readNumber(value.tcbEvaluationDataNumber, 'tcbEvaluationDataNumber', 0xffffffff),
  }
}

/** A list of levels that are known by one version number. */
export function readSvnLevels(value: unknown, path: string): SvnLevel[] {
  return readArray(value, path, (item, at) => {
    const level = readObject(item, at)
    const tcb = readObject(level.tcb, `${at}.tcb`)
    return { isvSvn: readNumber(tcb.isvsvn, `${at}.tcb.isvsvn`, 0xffff), ...readStatus(level, at) }
  })
}

function readTcbLevel(item: unknown, path: string): TcbLevel {
  const level = readObject(item, path)
  const tcb = readObject(level.tcb, `${path}.tcb`)
  return {
    sgx: readComponents(tcb.sgxtcbcomponents, `${path}.tcb.sgxtcbcomponents`),
    // An SGX TCB info has none; collateral.type refuses it.
    tdx:
      tcb.tdxtcbcomponents === undefined
        ? new Uint8Array(COMPONENTS).fill(0xff)
        : readComponents(tcb.tdxtcbcomponents, `${path}.tcb.tdxtcbcomponents`),
    pceSvn: readNumber(tcb.pcesvn, `${path}.tcb.pcesvn`, 0xffff),
    ...readStatus(level, path),
  }
}

const COMPONENTS = 16

function readComponents(value: unknown, path: string): Uint8Array {
  const svns = readArray(value, path, (item, at) => readNumber(readObject(item, at).svn, `${at}.svn`, 255))
  if (svns.length !== COMPONENTS) throw malformed(path, `${COMPONENTS} components`)
  return new Uint8Array(svns)
}

function readStatus(level: Record<string, unknown>, path: string) {
  const status = TCB_STATUSES.find((known) => known === level.tcbStatus)
  if (status === undefined) throw malformed(`${path}.tcbStatus`, 'a known status')
  const { advisoryIDs } = level
  return {
    status,
    date: readDate(level.tcbDate, `${path}.tcbDate`),
    advisories: advisoryIDs === undefined ? [] : readArray(advisoryIDs, `${path}.advisoryIDs`, readText),
  }
}

function readModule(item: unknown, path: string): ModuleIdentity {
  const value = readObject(item, path)
  return {
    id: readText(value.id, `${path}.id`),
    ...readSigner(value, path),
    levels: readSvnLevels(value.tcbLevels, `${path}.tcbLevels`),
  }
}

function readSigner(value: Record<string, unknown>, path: string): ModuleSigner {
  return {
    mrSigner: readBytes(value.mrsigner, `${path}.mrsigner`, 48),
    attributes: readBytes(value.attributes, `${path}.attributes`, 8),
  }
}
