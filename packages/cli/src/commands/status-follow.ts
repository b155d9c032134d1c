/** `trustedpods status --follow`: each change of the pod and of what its provider proves, and what then happens. */

import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import type { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import type { AttestationNews } from '@trusted-pods/publisher/attestation-watch.ts'
import { followLease } from '@trusted-pods/publisher/follow-lease.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import { isFinal } from '@trusted-pods/publisher/pod-status.ts'
import type { LeaseStatus } from '@trusted-pods/publisher/status-stream.ts'
import type { LocalAccount } from 'viem'
import { type Config, loadConfig } from '../config.ts'
import { loadPolicy, openLeases, openNode, openPayer, openPayingChain } from '../connections.ts'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { attestationJson, formatAttestation } from '../format-attestation.ts'
import { shortId } from '../lease-view.ts'
import { tellWaiting } from '../patience.ts'
import { ONLY_TELL, type Reaction, type Reactions } from '../reactions.ts'
import { relocation } from '../registry.ts'
import { createStatusTeller } from '../status-teller.ts'
import { endLease, isBlind } from './stop.ts'

export interface FollowFlags {
  vouchers?: boolean
  policy?: string
  onRefused?: Reaction
  onExpired?: Reaction
}

export async function follow(context: Context, lease: Lease, flags: FollowFlags): Promise<ExitCode> {
  const { output, signal } = context
  const config = await loadConfig(context.configPath)
  const reactions = chosenReactions(flags, config.running)
  const mayStop = Object.values(reactions).includes('stop')
  const policy = await (mayStop ? loadPolicy(config, flags.policy) : loadPolicyAloud(context, config, flags.policy))
  // Before it is needed: what cannot be stopped then should be told now.
  if (mayStop) await openPayingChain(config, context).catch(tellBlind(context))
  const leases = openLeases(context)
  await using own = await openNode(context)
  using waiting = tellWaiting(output, 'the provider to answer')
  const tell = createStatusTeller(output, lease)
  let code: ExitCode = EXIT.OK
  let isRefused = false
  const onLost = ({ code, message }: TrustedPodsError) =>
    output.progress(`provider lost (${code}: ${boundText(message)}): trying again`)
  for await (const news of followLease(own.node, lease, {
    ...(policy && { policy }),
    ...(await voucherSigner(context, config, flags)),
    ...relocation(context),
    leases,
    onLost,
    signal,
  })) {
    waiting[Symbol.dispose]()
    if (news.kind === 'status') {
      if (tell(news.status)) tellWays(context, lease, news.status)
      code = news.status.phase === 'failed' ? EXIT.WORKLOAD_FAILED : EXIT.OK
      continue
    }
    isRefused = news.attestation.kind === 'refused'
    if (tellAttestation(context, lease, news.attestation, reactions) === 'stop') {
      await endLease(context, lease)
      return EXIT.ATTESTATION_REFUSED
    }
  }
  return isRefused ? EXIT.ATTESTATION_REFUSED : code
}

/** Without a chain a stop ends the pod all the same: reason enough to go on. */
function tellBlind({ output }: Context): (error: unknown) => void {
  return (error) => {
    if (!isBlind(error)) throw error
    output.progress(`the chain cannot be asked now (${error.message}): a stop would end the pod, and settle later`)
  }
}

/** Undefined where none is configured: a pod's status can be seen without. */
export async function loadPolicyAloud({ output }: Context, config: Config, file?: string): Promise<Policy | undefined> {
  if (file !== undefined || config.policy !== undefined) return await loadPolicy(config, file)
  output.progress('the provider is not attested again: no policy is configured')
  return undefined
}

/** The wallet that signs vouchers, where that was asked for. */
export async function voucherSigner(
  context: Context,
  config: Config,
  { vouchers = false }: FollowFlags,
): Promise<{ voucherSigner?: LocalAccount }> {
  return vouchers ? { voucherSigner: await openPayer(config, context) } : {}
}

/** What the user may want to do about a pod that stands so. */
export function tellWays({ output }: Context, lease: Lease, { phase, funds }: LeaseStatus): void {
  if (funds.isLow && (phase === 'running' || phase === 'suspended'))
    output.next(`trustedpods fund ${shortId(lease.id)} <amount>`)
  if (isFinal(phase)) output.next(`trustedpods stop ${shortId(lease.id)}`)
}

function chosenReactions({ onRefused, onExpired }: FollowFlags, configured: Reactions = ONLY_TELL): Reactions {
  return { refused: onRefused ?? configured.refused, expired: onExpired ?? configured.expired }
}

/** One line of it, and what is done about it. */
export function tellAttestation(
  { output }: Context,
  lease: Lease,
  news: AttestationNews,
  reactions: Reactions,
): 'stop' | 'tell' {
  const line = `${lease.name} ${shortId(lease.id)}  evidence ${formatAttestation(news, output.colours)}`
  output.result(line, { lease: lease.id, name: lease.name, attestation: attestationJson(news) })
  if (news.kind !== 'refused' && news.kind !== 'expired') return 'tell'
  if (reactions[news.kind] === 'tell') output.next(`trustedpods stop ${shortId(lease.id)}`)
  else output.progress(`ending the pod: its provider is ${news.kind === 'refused' ? 'refused' : 'no longer proven'}`)
  return reactions[news.kind]
}
