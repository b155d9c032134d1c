/** A deployment's events as lines of progress, each named by its step. */
import { formatVerdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import { formatAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import { refusedVerdict } from '@trusted-pods/publisher/attest.ts'
import type { DeployEvent } from '@trusted-pods/publisher/deploy-event.ts'
import type { PassedOver } from '@trusted-pods/publisher/deploy-first.ts'
import type { Phase } from '@trusted-pods/publisher/pod-status.ts'
import type { LeaseStatus } from '@trusted-pods/publisher/status-stream.ts'
import { formatPlan } from './format-plan.ts'
import { formatPhase } from './format-status.ts'
import { shortId } from './lease-view.ts'
import type { Output } from './output.ts'
import { countOf, formatBytes } from './units.ts'

/** 2 s between two lines that only tell how much was fetched. */
const FETCH_INTERVAL_MS = 2_000

export interface DeployProgressOptions {
  /** Milliseconds, of any beginning. */
  readonly clock?: () => number
  /** Bytes of blocks that went out from here so far. */
  readonly sentBytes?: () => number
}

interface Said {
  readonly phase?: Phase
  readonly text?: string
  readonly at: number
  readonly fetchedBytes: bigint
}

/** Prints events; what was just said of a pod is not said again. */
export function createDeployProgress(
  output: Output,
  { clock = () => performance.now(), sentBytes = () => 0 }: DeployProgressOptions = {},
): (event: DeployEvent | PassedOver) => void {
  const colours = output.progressColours
  let said: Said = { at: 0, fetchedBytes: 0n }
  const sayStatus = (status: LeaseStatus) => {
    const { phase, fetchedBytes } = status
    const text = formatPhase(status, colours)
    const isSoon = phase === said.phase && clock() - said.at < FETCH_INTERVAL_MS
    if (isSoon || text === said.text) return
    const now = { phase, text, at: clock(), fetchedBytes }
    output.step('provision', `${text}${formatPace(said, now)}${formatSent(phase, sentBytes())}`)
    said = now
  }
  return (event) => {
    switch (event.step) {
      case 'manifest':
        return output.step('manifest', `${countOf(event.images, 'image')} encrypted, ${formatBytes(event.bytes)}`)
      case 'wire':
        return output.step(
          'wire',
          `connected to ${event.offer.peerId} at ${boundText(event.address.replace(/\/p2p\/.*/, ''))}`,
        )
      case 'attest':
        for (const line of formatVerdict(event.verdict, { color: hasColour(output) })) output.step('attest', line)
        return
      case 'quote':
        output.step('quote', 'signed by the attested meter, valid for what was asked')
        return output.progress(formatPlan(event.plan, colours))
      case 'channel': {
        const { channel, pricing, id } = event.lease
        const deposit = formatAmount(channel.deposit, pricing)
        const how =
          event.lease.kind === 'funded'
            ? `deposited, transaction ${event.lease.openTransaction}`
            : 'signed, the provider sends it'
        return output.step('channel', `lease ${shortId(id)}: ${deposit} ${how}`)
      }
      case 'provision':
        return sayStatus(event.status)
      case 'lost':
        return output.step(
          'provision',
          colours.yellow(
            `provider lost (${event.error.code}): attesting anew, try ${event.tries + 1} of ${event.ofTries}`,
          ),
        )
      case 'status':
        return output.step('status', formatPhase(event.status, colours))
      case 'passed-over':
        for (const line of verdictLines(event.error, output)) output.step('attest', line)
        return output.progress(
          `${colours.yellow('next provider:')} ${event.offer.peerId} cannot: ${event.error.code}, ${boundText(event.error.message)}`,
        )
    }
  }
}

/** How fast it went since the last line, where that told of bytes too. */
function formatPace(before: Said, now: Said): string {
  if (now.phase !== 'fetching' || before.phase !== 'fetching' || now.at <= before.at) return ''
  return `, ${formatBytes((Number(now.fetchedBytes - before.fetchedBytes) * 1000) / (now.at - before.at))}/s`
}

/** Less than what the provider has, where others gave it some or it had them before. */
function formatSent(phase: Phase, bytes: number): string {
  return phase === 'fetching' && bytes > 0 ? `, ${formatBytes(bytes)} of it from here` : ''
}

/** The verdict behind a refusal, line by line; empty for other failures. */
export function verdictLines(error: unknown, output: Output): string[] {
  const verdict = refusedVerdict(error)
  return verdict ? formatVerdict(verdict, { color: hasColour(output) }) : []
}

function hasColour({ progressColours }: Output): boolean {
  return progressColours.red('') !== ''
}
