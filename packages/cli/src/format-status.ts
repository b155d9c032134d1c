/** A pod's status as text and as JSON. What the provider says is shown as its word. Pure. */

import { formatAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import type { AttestationNews } from '@trusted-pods/publisher/attestation-watch.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import type { EndpointView } from '@trusted-pods/publisher/pod-status.ts'
import type { ReceiptView } from '@trusted-pods/publisher/receipt-watch.ts'
import type { LeaseStatus } from '@trusted-pods/publisher/status-stream.ts'
import type { Colours } from './colours.ts'
import { formatAttestation } from './format-attestation.ts'
import { shortId } from './lease-view.ts'
import { countOf, formatDuration, formatPart } from './units.ts'

/** @param attestation what the provider proved just now. */
export function formatStatus(
  lease: Lease,
  status: LeaseStatus,
  colours: Colours,
  attestation?: AttestationNews,
): string {
  const label = (text: string) => colours.dim(text.padEnd(11))
  const lines = [
    `${colours.bold(lease.name)} ${shortId(lease.id)}  ${formatPhase(status, colours)}`,
    ...(lease.simulated ? [`${label('evidence')}${colours.red('SIMULATED - NOT CONFIDENTIAL')}`] : []),
    ...(attestation ? [`${label(lease.simulated ? '' : 'evidence')}${formatAttestation(attestation, colours)}`] : []),
    `${label('provider')}${lease.provider.peerId}`,
    ...(status.message === '' ? [] : [`${label('message')}${status.message}`]),
    ...(status.failure ? [`${label('failure')}${colours.red(status.failure.code)}: ${status.failure.message}`] : []),
    ...status.containers.map((container, i) => `${label(i === 0 ? 'containers' : '')}${formatContainer(container)}`),
    ...status.endpoints.map((endpoint, i) => `${label(i === 0 ? 'endpoints' : '')}${formatEndpoint(endpoint)}`),
    `${label('owed')}${formatReceipt(status.receipt, lease, colours)}`,
    ...fundsLines(status, lease, colours).map((line, i) => `${label(i === 0 ? 'funds' : '')}${line}`),
  ]
  return lines.join('\n')
}

/** What it costs by now and what is left, in one line. */
export function formatSums(lease: Lease, status: LeaseStatus, colours: Colours): string {
  const [left] = fundsLines(status, lease, colours)
  const owed = formatReceipt(status.receipt, lease, colours)
  const phase = formatPhase(status, colours)
  return `${colours.bold(lease.name)} ${shortId(lease.id)}  ${phase}, owed ${owed}${left === undefined ? '' : `; ${left}`}`
}

/** What is left, and what happens when it is gone. */
function fundsLines({ phase, funds }: LeaseStatus, { pricing }: Lease, colours: Colours): string[] {
  if (phase !== 'running' && phase !== 'suspended') return []
  const { left, lastsSeconds, isLow, suspendedAt, deletedAt, voucherWanted } = funds
  const lasts = lastsSeconds === undefined ? '' : `, enough for ${formatDuration(Number(lastsSeconds))}`
  const rest = `${formatAmount(left, pricing)} left${lasts}`
  const past = phase === 'suspended'
  return [
    isLow ? colours.red(`LOW: ${rest}`) : rest,
    ...(suspendedAt
      ? [
          colours.red(
            `${past ? 'suspended since' : 'is suspended at'} ${suspendedAt.toISOString()} (told by the provider)`,
          ),
        ]
      : []),
    ...(deletedAt ? [colours.red(`its data is deleted at ${deletedAt.toISOString()} (told by the provider)`)] : []),
    ...(voucherWanted === undefined
      ? []
      : [`the provider asks for a voucher of ${formatAmount(voucherWanted, pricing)}: status --vouchers`]),
  ]
}

/** One line for progress: "fetching 12 MB of 40 MB (30 %)". */
export function formatPhase({ phase, fetchedBytes, totalBytes }: LeaseStatus, colours: Colours): string {
  if (phase === 'running') return colours.green(phase)
  if (phase === 'failed') return colours.red(phase)
  if (phase !== 'fetching' || fetchedBytes === 0n) return phase
  return `${phase} ${formatPart(fetchedBytes, totalBytes)}`
}

export function formatEndpoint({ container, targetPort, url, connect }: EndpointView): string {
  return `${url}  (${container}:${targetPort}${connect === undefined ? '' : `, connect to ${connect}`})`
}

/** A command that reaches an HTTP endpoint even where its host name does not resolve. */
export function curlCommand({ url, connect }: EndpointView): string | undefined {
  if (!/^https?:\/\/[\w.:[\]-]+$/.test(url)) return undefined
  const { hostname, port } = new URL(url)
  if (connect === undefined || !/^[\w.:[\]-]+$/.test(connect)) return `curl ${url}`
  return `curl --connect-to ${hostname}:${port || '80'}:${connect} ${url}`
}

function formatContainer({ name, state, exitCode, restarts }: LeaseStatus['containers'][number]): string {
  const exit = exitCode === undefined ? '' : ` with ${exitCode}`
  return `${name}: ${state}${exit}${restarts > 0 ? `, ${countOf(restarts, 'restart')}` : ''}`
}

function formatReceipt(receipt: ReceiptView, { pricing, channel }: Lease, colours: Colours): string {
  switch (receipt.kind) {
    case 'none':
      return 'no receipt yet'
    case 'verified':
      return `${formatAmount(receipt.owed, pricing)} of ${formatAmount(channel.deposit, pricing)} for ${formatDuration(Number(receipt.runningSeconds))}, receipt verified`
    case 'invalid':
      return colours.red(`the receipt does not hold: ${boundText(receipt.reason)}`)
  }
}

export function statusJson(lease: Lease, status: LeaseStatus) {
  const { failure, receipt, funds, fetchedBytes, totalBytes, ...rest } = status
  return {
    lease: lease.id,
    name: lease.name,
    simulated: lease.simulated,
    provider: lease.provider.peerId,
    ...rest,
    fetchedBytes: Number(fetchedBytes),
    totalBytes: Number(totalBytes),
    ...(failure && { failure: { code: failure.code, message: failure.message } }),
    receipt: receiptJson(receipt),
    funds: fundsJson(funds),
  }
}

function fundsJson({ left, lastsSeconds, isLow, suspendedAt, deletedAt, voucherWanted }: LeaseStatus['funds']) {
  return {
    left: left.toString(),
    isLow,
    ...(lastsSeconds !== undefined && { lastsSeconds: Number(lastsSeconds) }),
    ...(suspendedAt && { suspendedAt }),
    ...(deletedAt && { deletedAt }),
    ...(voucherWanted !== undefined && { voucherWanted: voucherWanted.toString() }),
  }
}

export function receiptJson(receipt: ReceiptView) {
  switch (receipt.kind) {
    case 'none':
    case 'invalid':
      return receipt
    case 'verified':
      return { kind: receipt.kind, owed: receipt.owed.toString(), runningSeconds: Number(receipt.runningSeconds) }
  }
}
