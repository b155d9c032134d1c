/** `trustedpods stop`: ends a pod and brings the rest of the deposit back into the wallet. */
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { formatAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import { type StopOutcome, stopLease } from '@trusted-pods/publisher/stop.ts'
import { stopPod } from '@trusted-pods/publisher/stop-pod.ts'
import type { Command } from 'commander'
import { removeBlocks } from '../blocks.ts'
import { loadConfig } from '../config.ts'
import { askYesNo } from '../confirm.ts'
import { findLease, LEASE_ARGUMENT, openLeases, openNode, openPayingChain } from '../connections.ts'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { receiptJson } from '../format-status.ts'
import { leaseJson, moneyAtRisk, shortId } from '../lease-view.ts'
import { relocation } from '../registry.ts'
import { formatDuration } from '../units.ts'
import type { Run } from './command.ts'

interface StopFlags {
  yes?: boolean
}

export function addStop(program: Command, run: Run): void {
  program
    .command('stop')
    .argument('[lease]', LEASE_ARGUMENT)
    .description('end a pod and get back what it did not use')
    .option('-y, --yes', 'do not ask, where the lease is not named')
    .action((lease: string | undefined, flags: StopFlags, command: Command) =>
      run(command, (context) => stop(context, lease, flags)),
    )
}

async function stop(context: Context, reference: string | undefined, { yes = false }: StopFlags): Promise<ExitCode> {
  const lease = await findLease(openLeases(context), reference)
  if (reference === undefined && !yes && !(await askYesNo(context, `End ${lease.name} ${shortId(lease.id)}?`)))
    return EXIT.INTERRUPTED
  return await endLease(context, lease)
}

/** Ends the pod and tells what became of the money. Without a chain the pod at least, and what is left to do. */
export async function endLease(context: Context, lease: Lease): Promise<ExitCode> {
  const config = await loadConfig(context.configPath)
  try {
    await settleLease(context, lease, await openPayingChain(config, context))
    return EXIT.OK
  } catch (error) {
    if (!isBlind(error) || lease.kind === 'ended' || lease.kind === 'closing') throw error
    return await endPodAlone(context, lease, error)
  }
}

/** Nobody has told us anything of the chain. */
export function isBlind(error: unknown): error is TrustedPodsError {
  return error instanceof TrustedPodsError && error.code === 'CHANNEL_RPC_UNAVAILABLE' && !error.remote
}

/** The pod must not run on, and cost money, because our own endpoint is down. */
async function endPodAlone(context: Context, lease: Lease, blind: TrustedPodsError): Promise<ExitCode> {
  const { output, signal } = context
  output.progress(`the chain cannot be asked (${blind.message}): asking the provider alone to end the pod`)
  await using own = await openNode(context)
  const leases = openLeases(context)
  const { receipt } = await stopPod(lease, { node: own.node, leases, ...relocation(context), signal }).catch(
    (cause) => {
      output.next(
        `trustedpods stop ${shortId(lease.id)}   # nothing is known to have ended: once the chain or the provider answers`,
      )
      throw cause
    },
  )
  const facts = { ...leaseJson(lease), podStopped: true, settled: false, receipt: receiptJson(receipt) }
  output.result(
    `stopped: the provider has ended the pod; ${moneyAtRisk(lease)}, less what its last receipt says, and the chain will tell`,
    facts,
  )
  output.next(`trustedpods stop ${shortId(lease.id)}   # once the chain answers: settles, and fetches the refund`)
  return EXIT.NETWORK
}

async function settleLease(context: Context, lease: Lease, chain: Chain): Promise<void> {
  const { output, signal } = context
  const leases = openLeases(context)
  await using own = await openNode(context)
  const report = (text: string) => output.step('status', text)
  const outcome = await stopLease(chain, lease, { node: own.node, leases, report, ...relocation(context), signal })
  await removeBlocks(context, lease.id)
  output.result(formatOutcome(outcome), outcomeJson(outcome))
  if (outcome.receipt.kind === 'invalid')
    output.progress(`warning: the last receipt does not hold: ${outcome.receipt.reason}`)
  if (outcome.kind === 'waiting')
    output.next(`trustedpods stop ${shortId(lease.id)}   # from ${outcome.closeAt.toISOString()} on`)
  else if (outcome.receipt.kind === 'verified')
    output.next(
      `trustedpods receipts ${shortId(lease.id)} --export receipt.json   # what it cost, for anybody to verify`,
    )
}

function formatOutcome(outcome: StopOutcome): string {
  const { lease, receipt } = outcome
  const money = (units: bigint) => formatAmount(units, lease.pricing)
  if (outcome.kind === 'waiting') {
    return `closing: the refund of lease ${shortId(lease.id)} is due at ${outcome.closeAt.toISOString()}, the provider may claim until then`
  }
  const time =
    receipt.kind === 'verified'
      ? ` for ${formatDuration(Number(receipt.runningSeconds))} of running, receipt verified`
      : ''
  return `ended: paid ${money(outcome.paid)}${time}; ${money(outcome.refund)} are back in the wallet`
}

function outcomeJson(outcome: StopOutcome) {
  const { lease, receipt } = outcome
  return {
    ...leaseJson(lease),
    receipt: receiptJson(receipt),
    ...(outcome.kind === 'ended' && outcome.withdrawal !== undefined && { withdrawal: outcome.withdrawal }),
  }
}
