/**
 * The attester of real hardware: Linux' configfs-tsm (6.7 and later), SEV-SNP and TDX alike.
 * Source: Linux Documentation/ABI/testing/configfs-tsm-report. Spec: spec/ATTESTATION.md#attester.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TrustedPodsError, toTrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Attester, Quote } from './attester.ts'
import { type CertificateTable, readCertificateTable, tableChain } from './certificate-table.ts'
import type { Endorsements } from './endorsements/endorsements.ts'

/** The file operations that configfs needs; node:fs/promises unless given. */
export interface TsmFiles {
  mkdir(path: string): Promise<unknown>
  readdir(path: string): Promise<string[]>
  readFile(path: string): Promise<Uint8Array>
  writeFile(path: string, bytes: Uint8Array): Promise<void>
  rmdir(path: string): Promise<void>
}

export interface ConfigfsOptions {
  readonly root?: string
  readonly files?: TsmFiles
  /** Gives what the report is judged by; without it only what the host's certificate table has is stapled. */
  readonly endorsements?: Pick<Endorsements, 'staple'>
}

const ROOT = '/sys/kernel/config/tsm/report'
const PROVIDERS: Readonly<Record<string, Attester['evidenceType']>> = { sev_guest: 'snp', tdx_guest: 'tdx' }
const REPORT_DATA_BYTES = 64

/** @throws TrustedPodsError ATTEST_UNAVAILABLE when the kernel has no such interface or another kind of TEE. */
export async function openConfigfsAttester(options: ConfigfsOptions = {}): Promise<Attester> {
  const files = options.files ?? { mkdir, readdir, readFile, writeFile, rmdir }
  const root = options.root ?? ROOT
  const name = await withEntry(files, root, async (entry) => await readLine(files, entry, 'provider'))
  const evidenceType = PROVIDERS[name]
  if (evidenceType === undefined)
    throw unavailable(`the kernel's provider is ${name}, sev_guest or tdx_guest is wanted`)
  return {
    evidenceType,
    simulated: false,
    quote: async (reportData, { signal } = {}) => {
      signal?.throwIfAborted()
      if (reportData.length !== REPORT_DATA_BYTES) {
        throw unavailable(`${reportData.length} bytes of report data, ${REPORT_DATA_BYTES} are wanted`)
      }
      const { report, table } = await withEntry(files, root, (entry) => readReport(files, entry, reportData))
      return { report, ...(await staple(report, { type: evidenceType, table }, options)) }
    },
  }
}

/** One entry of our own per quote; an entry that someone else wrote to as well is discarded. */
async function readReport(files: TsmFiles, entry: string, reportData: Uint8Array) {
  const before = Number(await readLine(files, entry, 'generation'))
  await files.writeFile(join(entry, 'inblob'), reportData)
  const report = new Uint8Array(await files.readFile(join(entry, 'outblob')))
  const table = await readTable(files, entry)
  const after = Number(await readLine(files, entry, 'generation'))
  if (after !== before + 1) throw unavailable(`generation went from ${before} to ${after}: another writer is there`)
  return { report, table: table === undefined ? {} : readCertificateTable(table) }
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

/** Only some providers have an auxblob. */
async function readTable(files: TsmFiles, entry: string): Promise<Uint8Array | undefined> {
  if (!(await files.readdir(entry)).includes('auxblob')) return undefined
  const table = await files.readFile(join(entry, 'auxblob'))
  return table.length === 0 ? undefined : new Uint8Array(table)
}

async function withEntry<T>(files: TsmFiles, root: string, use: (entry: string) => Promise<T>): Promise<T> {
  const entry = join(root, `trusted-pods-${randomUUID()}`)
  try {
    await files.mkdir(entry)
  } catch (cause) {
    throw unavailable(`${root} cannot be used: a confidential guest with Linux 6.7 or later is wanted`, cause)
  }
  try {
    try {
      return await use(entry)
    } finally {
      await files.rmdir(entry)
    }
  } catch (error) {
    throw toTrustedPodsError(error, 'ATTEST_UNAVAILABLE')
  }
}

async function readLine(files: TsmFiles, entry: string, name: string): Promise<string> {
  return new TextDecoder().decode(await files.readFile(join(entry, name))).trim()
}

function unavailable(message: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('ATTEST_UNAVAILABLE', message, { cause })
}
