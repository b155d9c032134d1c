/**
 * The attester of real hardware: Linux' configfs-tsm, SEV-SNP and TDX alike, with what is stapled to its reports.
 * Spec: spec/ATTESTATION.md#attester.
 */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Attester, Quote } from './attester.ts'
import { CCEL_FILE, openBootLog } from './boot-log.ts'
import { type CertificateTable, readCertificateTable, tableChain } from './certificate-table.ts'
import type { Endorsements } from './endorsements/endorsements.ts'
import { readPlatformId } from './platform-id.ts'
import { readTsmProvider, requestReport, TSM_PLACE, type TsmPlace, type TsmReport } from './tsm-report.ts'

export interface ConfigfsOptions {
  readonly place?: TsmPlace
  /** Gives what the report is judged by; without it only what the host's certificate table has is stapled. */
  readonly endorsements?: Pick<Endorsements, 'staple'>
  /** File of a TDX guest's boot log. */
  readonly bootLog?: string
  readonly log?: Logger
}

const PROVIDERS: Readonly<Record<string, Attester['evidenceType']>> = { sev_guest: 'snp', tdx_guest: 'tdx' }
const REPORT_DATA_BYTES = 64

/** @throws TrustedPodsError ATTEST_UNAVAILABLE when the kernel has no such interface or another kind of TEE. */
export async function openConfigfsAttester(options: ConfigfsOptions = {}): Promise<Attester> {
  const { place = TSM_PLACE, bootLog: path = CCEL_FILE } = options
  const name = await readTsmProvider(place)
  const evidenceType = PROVIDERS[name]
  if (evidenceType === undefined)
    throw unavailable(`the kernel's provider is ${name}, sev_guest or tdx_guest is wanted`)
  const bootLog = evidenceType === 'tdx' ? await openBootLog(path, options) : undefined
  const quote: Attester['quote'] = async (reportData, { signal } = {}) => {
    if (reportData.length !== REPORT_DATA_BYTES) {
      throw unavailable(`${reportData.length} bytes of report data, ${REPORT_DATA_BYTES} are wanted`)
    }
    const read = await requestReport(reportData, place, signal)
    const { report } = read
    const table = certificatesOf(read, options)
    const stapled = await staple(report, { type: evidenceType, table }, options)
    const eventLog = await bootLog?.of(report)
    return { report, ...stapled, ...(eventLog && { eventLog }) }
  }
  return { evidenceType, simulated: false, quote, findPlatformId: platformIdFinder(evidenceType, quote) }
}

/** A platform keeps its id: it is read once, from a report made for nobody; one that could not be read is looked for again. */
function platformIdFinder(type: Attester['evidenceType'], quote: Attester['quote']): Attester['findPlatformId'] {
  let finding: Promise<Uint8Array | undefined> | undefined
  const find = async () => readPlatformId(await quote(new Uint8Array(REPORT_DATA_BYTES)), type)
  return () => {
    finding ??= find().catch((error: unknown) => {
      finding = undefined
      throw error
    })
    return finding
  }
}

function certificatesOf({ table }: TsmReport, { log }: ConfigfsOptions): CertificateTable {
  if (table === undefined) return {}
  if (table !== 'too-large') return readCertificateTable(table)
  log?.warn("the host's certificate table is too large for the kernel; its certificates are fetched instead")
  return {}
}

/** The entry is gone by now: what is fetched may take its time. */
async function staple(
  report: Uint8Array,
  { type, table }: { type: Attester['evidenceType']; table: CertificateTable },
  { endorsements }: ConfigfsOptions,
): Promise<Omit<Quote, 'report'>> {
  if (endorsements) return await endorsements.staple(report, { type, table })
  return { certificates: type === 'snp' ? tableChain(table) : [], crls: [] }
}

function unavailable(message: string): TrustedPodsError {
  return new TrustedPodsError('ATTEST_UNAVAILABLE', message)
}
