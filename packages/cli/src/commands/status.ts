/** `trustedpods status`: where a pod stands and what its provider proves, once or with each change. */
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import { type AttestationNews, watchAttestation } from '@trusted-pods/publisher/attestation-watch.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import { isFinal } from '@trusted-pods/publisher/pod-status.ts'
import { watchStatus } from '@trusted-pods/publisher/status.ts'
import type { LeaseStatus } from '@trusted-pods/publisher/status-stream.ts'
import { type Command, Option } from 'commander'
import type { LocalAccount } from 'viem'
import { loadConfig } from '../config.ts'
import { findLease, LEASE_ARGUMENT, openLeases, openNode } from '../connections.ts'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { attestationJson } from '../format-attestation.ts'
import { formatStatus, statusJson } from '../format-status.ts'
import { leaseJson, moneyAtRisk, shortId } from '../lease-view.ts'
import { tellWaiting } from '../patience.ts'
import { ONLY_TELL, REACTIONS } from '../reactions.ts'
import { relocation } from '../registry.ts'
import type { Run } from './command.ts'
import { type FollowFlags, follow, loadPolicyAloud, tellAttestation, tellWays, voucherSigner } from './status-follow.ts'

interface StatusFlags extends FollowFlags {
  follow?: boolean
}

export function addStatus(program: Command, run: Run): void {
  program
    .command('status')
    .argument('[lease]', LEASE_ARGUMENT)
    .description(
      'show where a pod stands and attest its provider again; exits with 5 when the provider is refused, else with 8 when the pod has failed',
    )
    .option(
      '-f, --follow',
      'go on with each change, and attest again before each verdict ends; with -o json one object a line',
    )
    .option('--vouchers', 'sign the vouchers that the provider asks for, as far as verified receipts go')
    .option('--policy <file>', 'policy in place of the configured one')
    .addOption(
      new Option('--on-refused <reaction>', 'with --follow, when the policy refuses the provider').choices(REACTIONS),
    )
    .addOption(
      new Option('--on-expired <reaction>', 'with --follow, when nothing proven holds any more').choices(REACTIONS),
    )
    .action((lease: string | undefined, flags: StatusFlags, command: Command) =>
      run(command, (context) => status(context, lease, flags)),
    )
}

async function status(context: Context, reference: string | undefined, flags: StatusFlags): Promise<ExitCode> {
  const { output } = context
  const leases = openLeases(context)
  const lease = await findLease(leases, reference)
  if (lease.kind === 'ended' || lease.kind === 'closing') {
    output.result(
      `${lease.name} ${shortId(lease.id)}  ${lease.kind}: ${lease.reason}; ${moneyAtRisk(lease)}`,
      leaseJson(lease),
    )
    return EXIT.OK
  }
  return flags.follow ? await follow(context, lease, flags) : await showOnce(context, lease, flags)
}

async function showOnce(context: Context, lease: Lease, flags: StatusFlags): Promise<ExitCode> {
  const { output } = context
  const config = await loadConfig(context.configPath)
  const policy = await loadPolicyAloud(context, config, flags.policy)
  const [asked, attestation] = await ask(context, lease, { policy, ...(await voucherSigner(context, config, flags)) })
  if (asked.status === 'rejected') return tellWithoutStatus(context, lease, { reason: asked.reason, attestation })
  const seen = asked.value
  output.result(formatStatus(lease, seen, output.colours, attestation), {
    ...statusJson(lease, seen),
    ...(attestation && { attestation: attestationJson(attestation) }),
  })
  tellWays(context, lease, seen)
  if (attestation?.kind === 'refused' && !isFinal(seen.phase)) output.next(`trustedpods stop ${shortId(lease.id)}`)
  // First: what a refused provider says of the pod is worth nothing.
  if (attestation?.kind === 'refused') return EXIT.ATTESTATION_REFUSED
  return seen.phase === 'failed' ? EXIT.WORKLOAD_FAILED : EXIT.OK
}

/** A provider that is refused must not hide it behind an answer that is no status. @throws the reason, where it is not refused. */
function tellWithoutStatus(
  context: Context,
  lease: Lease,
  { reason, attestation }: { reason: unknown; attestation: AttestationNews | undefined },
): ExitCode {
  if (attestation?.kind !== 'refused' || !(reason instanceof TrustedPodsError)) throw reason
  context.output.progress(`no status (${reason.code}: ${boundText(reason.message)})`)
  tellAttestation(context, lease, attestation, ONLY_TELL)
  return EXIT.ATTESTATION_REFUSED
}

interface Asked {
  policy: Policy | undefined
  voucherSigner?: LocalAccount
}

/** Both at the same time: what the provider says, and what it proves. */
async function ask(
  context: Context,
  lease: Lease,
  { policy, ...signer }: Asked,
): Promise<[PromiseSettledResult<LeaseStatus>, AttestationNews | undefined]> {
  const { receipts, verdicts } = openLeases(context)
  const { signal } = context
  await using own = await openNode(context)
  using _ = tellWaiting(context.output, 'the provider to answer')
  const way = { ...relocation(context), signal }
  const status = firstOf(watchStatus(own.node, lease, { receipts, ...signer, ...way }))
  const proof = policy && firstOf(watchAttestation(own.node, lease, { policy, verdicts, ...way }))
  const [asked, attested] = await Promise.allSettled([status, proof])
  if (attested.status === 'rejected') throw attested.reason
  return [asked, attested.value]
}

async function firstOf<T>(items: AsyncIterable<T>): Promise<T> {
  for await (const item of items) return item
  throw new Error('a stream that always has one item had none')
}
