/** Judges what was launched: MRTD, RTMRs, configuration and owner must be those of one known stack. Spec: spec/ATTESTATION.md#tdx-measurements. Pure. */
import { equalBytes, toHex } from '../../bytes.ts'
import { TrustedPodsError } from '../../errors.ts'
import { type Check, judge } from '../checks.ts'
import { type LoggedEvent, parseEventLog, replay } from './event-log.ts'
import type { RtmrReference, TdxReference } from './policy.ts'
import type { TdReport } from './quote.ts'

export interface NamedReference {
  readonly name: string
  readonly tdx?: TdxReference
}

export interface EventLogEvidence {
  readonly format: string
  readonly log: Uint8Array
}

/** A log with the registers that it replays to. */
interface Replayed {
  readonly events: readonly LoggedEvent[]
  readonly proven: readonly boolean[]
}

export async function appraiseMeasurement(
  td: TdReport,
  references: readonly NamedReference[],
  evidence: EventLogEvidence | undefined,
): Promise<Check[]> {
  const mrtd = toHex(td.mrtd)
  const launched = references.flatMap(({ name, tdx }) => (tdx?.mrtd.includes(mrtd) ? [{ name, tdx }] : []))
  const needsLog = launched.some(({ tdx }) => tdx.rtmr.some(({ kind }) => kind !== 'values'))
  const log = evidence === undefined ? undefined : await replayLog(td, evidence)
  const replayed = typeof log === 'object' ? log : undefined
  const matches = launched.map(({ name, tdx }) => ({ name, ...matchReference(td, tdx, replayed) }))
  const best = matches.toSorted((a, b) => countMatches(b) - countMatches(a)).at(0)
  const stacks = launched.map(({ name }) => name).join(', ')
  const wanted = best ? `as ${best.name}` : 'a value beside a known MRTD'
  const register = best?.registers.findIndex((isKnown) => !isKnown) ?? 0
  const rtmr = toHex(td.rtmrs[register] ?? new Uint8Array())
  return [
    judge(
      'measurement.unknown',
      launched.length > 0,
      `one of ${references.length} stacks`,
      stacks || mrtd,
      'quote MRTD',
    ),
    judge(
      'measurement.rtmr',
      best?.registers.every(Boolean) ?? false,
      wanted,
      register < 0 ? wanted : `RTMR${register} ${rtmr}`,
    ),
    checkLog(log, needsLog),
    judge('measurement.config-id', best?.config ?? false, wanted, toHex(td.mrConfigId)),
    judge('measurement.owner', best?.owner ?? false, wanted, best?.owner ? wanted : toHex(td.mrOwner)),
  ]
}

interface Match {
  readonly registers: readonly boolean[]
  readonly config: boolean
  readonly owner: boolean
}

function matchReference(td: TdReport, wanted: TdxReference, log: Replayed | undefined): Match {
  return {
    registers: wanted.rtmr.map((reference, i) =>
      isKnownRegister(toHex(td.rtmrs[i] ?? new Uint8Array()), i, { reference, log }),
    ),
    config: wanted.mrConfigId.includes(toHex(td.mrConfigId)),
    owner: wanted.mrOwner.includes(toHex(td.mrOwner)) && wanted.mrOwnerConfig.includes(toHex(td.mrOwnerConfig)),
  }
}

function countMatches({ registers, config, owner }: Match): number {
  return [...registers, config, owner].filter(Boolean).length
}

function isKnownRegister(
  value: string,
  register: number,
  { reference, log }: { reference: RtmrReference; log: Replayed | undefined },
): boolean {
  if (reference.kind === 'values') return reference.values.includes(value)
  if (log?.proven[register] !== true) return false
  const events = log.events.filter((event) => event.register === register)
  // Into a register without events nothing was measured: of what runs it says nothing.
  if (events.length === 0) return false
  if (reference.kind === 'digests') return events.every(({ digest }) => reference.digests.includes(toHex(digest)))
  return areToldEvents(events, reference.events)
}

/** Each named event once with a payload that is allowed, and no other. */
function areToldEvents(
  events: readonly LoggedEvent[],
  wanted: ReadonlyMap<string, 'any' | readonly string[]>,
): boolean {
  const names = new Set(events.map(({ told }) => told?.name))
  const isAllowed = ({ told }: LoggedEvent) => {
    const payloads = told && wanted.get(told.name)
    return payloads !== undefined && (payloads === 'any' || payloads.includes(told?.payload ?? ''))
  }
  return events.length === wanted.size && names.size === wanted.size && events.every(isAllowed)
}

/** The log, or what is wrong with it. */
async function replayLog(td: TdReport, { format, log }: EventLogEvidence): Promise<Replayed | string> {
  try {
    const events = await parseEventLog(format, log)
    const proven = await Promise.all(td.rtmrs.map(async (rtmr, i) => equalBytes(await replay(events, i), rtmr)))
    return { events, proven }
  } catch (error) {
    if (error instanceof TrustedPodsError) return error.message
    throw error
  }
}

/** A log must replay to each register that it speaks of; where reference values need one, it must be there. */
function checkLog(log: Replayed | string | undefined, isNeeded: boolean): Check {
  const code = 'measurement.event-log'
  if (log === undefined) return judge(code, !isNeeded, isNeeded ? 'a log' : 'no log needed', 'none')
  if (typeof log === 'string') return judge(code, false, 'a log', log)
  const told = new Set(log.events.map(({ register }) => register))
  const wrong = [...told].filter((register) => log.proven[register] !== true)
  const got = wrong.length === 0 ? `${log.events.length} events` : `another RTMR${wrong.join(', RTMR')}`
  return judge(code, wrong.length === 0, 'the quoted RTMRs', got)
}
