/**
 * Intel's algorithm: from security versions to one status. Spec: spec/ATTESTATION.md#tdx-tcb. Pure.
 * Source: Intel QVL, Verifiers/Checks (TcbLevelCheck, TdxModuleCheck, TDRelaunchCheck), steps 4.1.2.4.11 and 4.1.2.4.17.
 */
import { equalBytes, toHex } from '../../bytes.ts'
import type { Pck } from './pck.ts'
import type { QeIdentity } from './qe-identity.ts'
import type { QeReport, TdReport } from './quote.ts'
import type { LevelStatus, ModuleIdentity, SvnLevel, TcbInfo, TcbLevel } from './tcb-info.ts'

export type TcbStatus = LevelStatus | 'TDRelaunchAdvised' | 'TDRelaunchAdvisedConfigurationNeeded'

/** What a platform's TCB is worth by Intel's word. */
export interface TdxTcb {
  readonly status: TcbStatus
  /** The oldest date of the levels that are not up to date; else of the platform's level. */
  readonly date: Date
  /** Those of platform, module and QE, sorted. */
  readonly advisories: readonly string[]
}

/** Why there is no status: nothing is Intel's word then, so the evidence is refused. */
export type NoTcb = { readonly missing: 'platform level' | 'module level' | 'QE level' | 'module identity' }

export interface TcbParts {
  readonly td: TdReport
  readonly qe: QeReport
  readonly pck: Pck
  readonly tcbInfo: TcbInfo
  readonly qeIdentity: QeIdentity
}

export function evaluateTcb({ td, qe, pck, tcbInfo, qeIdentity }: TcbParts): TdxTcb | NoTcb {
  const platforms = tcbInfo.levels.filter((level) => isPlatformAtLeast(pck, level))
  const [sgxLevel] = platforms
  const level = platforms.find(({ tdx }) => isTdxAtLeast(td.teeTcbSvn, tdx))
  if (sgxLevel === undefined || level === undefined) return { missing: 'platform level' }
  const module = findModuleLevel(td.teeTcbSvn, tcbInfo)
  if (module !== undefined && 'missing' in module) return module
  const qeLevel = qeIdentity.levels.find(({ isvSvn }) => qe.isvSvn >= isvSvn)
  if (qeLevel === undefined) return { missing: 'QE level' }
  const relaunched = checkRelaunch(converge(level.status, module?.status), {
    sgxStatus: sgxLevel.status,
    moduleStatus: module?.status,
    qeStatus: qeLevel.status,
    tcbInfo,
    td,
  })
  if (typeof relaunched !== 'string') return relaunched
  return describeTcb(converge(relaunched, qeLevel.status), [level, ...(module ? [module] : []), qeLevel])
}

function describeTcb(status: TcbStatus, levels: readonly (TcbLevel | SvnLevel)[]): TdxTcb {
  const old = levels.filter((level, i) => i === 0 || level.status !== 'UpToDate')
  return {
    status,
    date: new Date(Math.min(...old.map(({ date }) => date.getTime()))),
    advisories: [...new Set(levels.flatMap(({ advisories }) => advisories))].sort(),
  }
}

function isPlatformAtLeast({ svns, pceSvn }: Pck, level: TcbLevel): boolean {
  return level.sgx.every((svn, i) => (svns[i] ?? 0) >= svn) && pceSvn >= level.pceSvn
}

/** Where the module has a major version, components 0 and 1 are the module's own and judged by its identity. */
function isTdxAtLeast(teeTcbSvn: Uint8Array, wanted: Uint8Array): boolean {
  const first = (teeTcbSvn[1] ?? 0) > 0 ? 2 : 0
  return wanted.every((svn, i) => i < first || (teeTcbSvn[i] ?? 0) >= svn)
}

/** The identity of the module's major version; the name is compared without case. */
export function findModule({ modules }: TcbInfo, majorVersion: number): ModuleIdentity | undefined {
  const wanted = `TDX_${toHex(new Uint8Array([majorVersion]))}`.toUpperCase()
  return modules.find(({ id }) => id.toUpperCase() === wanted)
}

/** The module's level; undefined for major version 0, which has none. */
function findModuleLevel(teeTcbSvn: Uint8Array, tcbInfo: TcbInfo): SvnLevel | NoTcb | undefined {
  const [svn = 0, majorVersion = 0] = teeTcbSvn
  if (majorVersion === 0) return undefined
  const module = findModule(tcbInfo, majorVersion)
  if (module === undefined) return { missing: 'module identity' }
  return module.levels.find(({ isvSvn }) => svn >= isvSvn) ?? { missing: 'module level' }
}

/**
 * Lowers a platform's status by that of its TDX module or QE. They have no configuration of their own: what is neither
 * UpToDate nor Revoked counts as OutOfDate.
 */
function converge(status: TcbStatus, part: LevelStatus | undefined): TcbStatus {
  if (part === undefined || part === 'UpToDate') return status
  if (part === 'Revoked') return 'Revoked'
  switch (status) {
    case 'UpToDate':
    case 'SWHardeningNeeded':
      return 'OutOfDate'
    case 'ConfigurationNeeded':
    case 'ConfigurationAndSWHardeningNeeded':
      return 'OutOfDateConfigurationNeeded'
    case 'OutOfDate':
    case 'OutOfDateConfigurationNeeded':
    case 'Revoked':
    case 'TDRelaunchAdvised':
    case 'TDRelaunchAdvisedConfigurationNeeded':
      return status
  }
}

interface RelaunchParts {
  readonly sgxStatus: LevelStatus
  readonly moduleStatus: LevelStatus | undefined
  readonly qeStatus: LevelStatus
  readonly tcbInfo: TcbInfo
  readonly td: TdReport
}

/** A guest that was launched on an old module of a platform that has the present one by now (TD 1.5) should start again. */
function checkRelaunch(status: TcbStatus, parts: RelaunchParts): TcbStatus | NoTcb {
  const { sgxStatus, moduleStatus, qeStatus, tcbInfo, td } = parts
  const { teeTcbSvn2 } = td
  const isOld = status === 'OutOfDate' || status === 'OutOfDateConfigurationNeeded'
  if (teeTcbSvn2 === undefined || !isOld || moduleStatus !== 'OutOfDate' || qeStatus !== 'UpToDate') return status
  if (!SOUND.includes(sgxStatus)) return status
  const [latest] = tcbInfo.levels
  const [svn = 0, majorVersion = 0, microcode = 0] = teeTcbSvn2
  let moduleSvn = latest?.tdx[0]
  if (majorVersion > 0) {
    const module = findModule(tcbInfo, majorVersion)
    if (module === undefined) return { missing: 'module identity' }
    moduleSvn = module.levels[0]?.isvSvn
    if (moduleSvn === undefined) return { missing: 'module level' }
  }
  if (latest === undefined || moduleSvn === undefined) return status
  if (svn < moduleSvn || microcode < (latest.tdx[2] ?? 0)) return status
  const needsConfiguration = CONFIGURATION_NEEDED.has(sgxStatus) || CONFIGURATION_NEEDED.has(status)
  return needsConfiguration ? 'TDRelaunchAdvisedConfigurationNeeded' : 'TDRelaunchAdvised'
}

const SOUND: readonly LevelStatus[] = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
]

export const CONFIGURATION_NEEDED: ReadonlySet<TcbStatus> = new Set([
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDateConfigurationNeeded',
  'TDRelaunchAdvisedConfigurationNeeded',
])

/** Whether module and signer are those that Intel names: MRSIGNERSEAM as listed, SEAMATTRIBUTES as listed and zero. */
export function isKnownModule(td: TdReport, tcbInfo: TcbInfo): boolean {
  const majorVersion = td.teeTcbSvn[1] ?? 0
  const wanted = majorVersion > 0 ? findModule(tcbInfo, majorVersion) : tcbInfo.module
  if (wanted === undefined) return false
  const isPlain = td.seamAttributes.every((byte, i) => byte === 0 && wanted.attributes[i] === 0)
  return isPlain && equalBytes(td.mrSignerSeam, wanted.mrSigner)
}
