/** What a TDX guest's firmware, loader and kernel logged of their boot: the CCEL ACPI table. Spec: spec/ATTESTATION.md#event-log. */
import { readFile } from 'node:fs/promises'
import { parseEventLog, replay, trimCcel } from '@trusted-pods/protocol/attestation/tdx/event-log.ts'
import { parseTdxQuote } from '@trusted-pods/protocol/attestation/tdx/quote.ts'
import { equalBytes } from '@trusted-pods/protocol/bytes.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Quote } from './attester.ts'

/** Linux shows the memory that the CCEL table points to here, to root. */
export const CCEL_FILE = '/sys/firmware/acpi/tables/data/CCEL'

export interface BootLog {
  /** The log, where it tells how the registers of this quote came to be: a verifier refuses any other. */
  of(quote: Uint8Array): Promise<Quote['eventLog']>
}

/** Without a log, or with one that cannot be read, evidence goes without: only a policy that needs one refuses that. */
export async function openBootLog(path: string, { log }: { log?: Logger } = {}): Promise<BootLog> {
  try {
    const bytes = trimCcel(new Uint8Array(await readFile(path)))
    const events = await parseEventLog('ccel', bytes)
    let told = false
    return {
      of: async (quote) => {
        if (await fits(quote, events)) return { format: 'ccel', log: bytes }
        if (!told) log?.warn('the boot log does not replay to the RTMRs: evidence goes without it', { path })
        told = true
        return undefined
      },
    }
  } catch (error) {
    log?.warn('evidence goes without the boot log', { path, reason: String(error) })
    return { of: () => Promise.resolve(undefined) }
  }
}

type Events = Awaited<ReturnType<typeof parseEventLog>>

async function fits(raw: Uint8Array, events: Events): Promise<boolean> {
  const registers = [...new Set(events.map(({ register }) => register))]
  const rtmrs = parseTdxQuote(raw).quote?.td.rtmrs ?? []
  const matches = await Promise.all(
    registers.map(async (register) => equalBytes(await replay(events, register), rtmrs[register] ?? new Uint8Array())),
  )
  return matches.every(Boolean)
}
