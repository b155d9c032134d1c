/**
 * One report from Linux' configfs-tsm (6.7 and later), with its races: another writer in our entry, a kernel that is busy, a
 * blob that is too large. Spec: spec/ATTESTATION.md#attester. Source: Linux Documentation/ABI/testing/configfs-tsm-report.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from '@trusted-pods/platform/error-code.ts'
import { TrustedPodsError, toTrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { pause } from '@trusted-pods/protocol/pause.ts'

/** The file operations that configfs needs. */
export interface TsmFiles {
  mkdir(path: string): Promise<unknown>
  readdir(path: string): Promise<string[]>
  readFile(path: string): Promise<Uint8Array>
  writeFile(path: string, bytes: Uint8Array): Promise<void>
  rmdir(path: string): Promise<void>
}

export interface TsmPlace {
  readonly files: TsmFiles
  /** The directory in which entries are made. */
  readonly root: string
}

export const TSM_PLACE: TsmPlace = {
  files: { mkdir, readdir, readFile, writeFile, rmdir },
  root: '/sys/kernel/config/tsm/report',
}

export interface TsmReport {
  readonly report: Uint8Array
  /** The host's certificate table; 'too-large' where the kernel will not give it out. */
  readonly table?: Uint8Array | 'too-large'
}

/** 20 ms and twice as long each time: 1.3 s in all, well within the time that a publisher waits. */
const TRIES = 7
const FIRST_PAUSE_MS = 20

/**
 * A report over 64 bytes, from an entry of its own; asked for again while the kernel is busy or somebody else writes.
 * @throws TrustedPodsError ATTEST_UNAVAILABLE
 */
export async function requestReport(
  reportData: Uint8Array,
  place: TsmPlace,
  signal: AbortSignal = new AbortController().signal,
): Promise<TsmReport> {
  for (let tries = 1; ; tries++) {
    signal.throwIfAborted()
    const outcome = await withEntry(place, (entry) => readReport(place.files, entry, reportData))
    if (typeof outcome !== 'string') return outcome
    if (tries === TRIES) throw unavailable(`${outcome}; tried ${TRIES} times`)
    await pause(FIRST_PAUSE_MS * 2 ** (tries - 1), signal)
  }
}

/** The name of what makes the reports. @throws TrustedPodsError ATTEST_UNAVAILABLE where the kernel has no such interface. */
export function readTsmProvider(place: TsmPlace): Promise<string> {
  return withEntry(place, (entry) => readLine(place.files, entry, 'provider'))
}

/** The report, or why it has to be asked for again. */
async function readReport(files: TsmFiles, entry: string, reportData: Uint8Array): Promise<TsmReport | string> {
  try {
    const before = Number(await readLine(files, entry, 'generation'))
    await files.writeFile(join(entry, 'inblob'), reportData)
    const report = await readOutblob(files, entry)
    const table = await readTable(files, entry)
    const after = Number(await readLine(files, entry, 'generation'))
    // One write that was dropped and one of another's count as one: the report itself has to say.
    if (!Buffer.from(report).includes(Buffer.from(reportData)))
      return 'the report is over other data: another writer is there'
    if (after === before + 1) return { report, ...(table && { table }) }
    return after === before
      ? 'the kernel did not take the report data'
      : `generation went from ${before} to ${after}: another writer is there`
  } catch (error) {
    const passing = PASSING.find((code) => hasCode(error, code))
    if (passing) return `the kernel is busy (${passing})`
    throw error
  }
}

async function readOutblob(files: TsmFiles, entry: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await files.readFile(join(entry, 'outblob')))
  } catch (cause) {
    if (hasCode(cause, 'EFBIG')) throw unavailable('the report is larger than the kernel gives out (EFBIG)', cause)
    throw cause
  }
}

/** Only some providers have one, and not every host fills it. What it would have can be had elsewhere. */
async function readTable(files: TsmFiles, entry: string): Promise<TsmReport['table']> {
  if (!(await files.readdir(entry)).includes('auxblob')) return undefined
  try {
    const table = await files.readFile(join(entry, 'auxblob'))
    return table.length === 0 ? undefined : new Uint8Array(table)
  } catch (error) {
    if (hasCode(error, 'EFBIG')) return 'too-large'
    throw error
  }
}

/** EWOULDBLOCK (EAGAIN): written to since the report was made; EBUSY: a quote is under way; EINTR: a signal came. */
const PASSING = ['EAGAIN', 'EWOULDBLOCK', 'EBUSY', 'EINTR']

async function withEntry<T>({ files, root }: TsmPlace, use: (entry: string) => Promise<T>): Promise<T> {
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
