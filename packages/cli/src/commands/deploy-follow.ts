/** Follows a deployment, new or resumed, to its running pod; after a failure says what is at risk and which ways lead out. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { DeployEvent } from '@trusted-pods/publisher/deploy-event.ts'
import type { PassedOver } from '@trusted-pods/publisher/deploy-first.ts'
import type { FundingChoice } from '@trusted-pods/publisher/funding.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import { resumeLease } from '@trusted-pods/publisher/resume.ts'
import type { LeaseStatus } from '@trusted-pods/publisher/status-stream.ts'
import { openBlocks, removeBlocks } from '../blocks.ts'
import { loadConfig } from '../config.ts'
import { loadPolicy, openLeases, openNode, openPayingChain } from '../connections.ts'
import type { Context } from '../context.ts'
import { createDeployProgress, verdictLines } from '../deploy-progress.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { curlCommand, formatStatus, statusJson } from '../format-status.ts'
import type { IpfsFlags } from '../ipfs-nodes.ts'
import type { LeaseFiles } from '../lease-store.ts'
import { leaseJson, moneyAtRisk, shortId } from '../lease-view.ts'
import { relocation } from '../registry.ts'

export type Followed = { readonly kind: 'running' } | { readonly kind: 'not-confirmed' }

/** `trustedpods deploy --resume`. */
export async function resume(
  context: Context,
  reference: string,
  flags: IpfsFlags & { policy?: string; funding?: FundingChoice },
): Promise<ExitCode> {
  const config = await loadConfig(context.configPath)
  const leases = openLeases(context)
  const lease = await leases.find(reference)
  const policy = await loadPolicy(config, flags.policy)
  const chain = await openPayingChain(config, context)
  await using own = await openNode(context)
  await using blocks = await openBlocks(context, lease.id, flags)
  const { blockstore } = blocks
  const sent = countBytes()
  const parts = {
    node: own.node,
    chain,
    policy,
    blockstore,
    onBlockSent: sent.add,
    leases,
    ...relocation(context),
    ...(flags.funding && { funding: flags.funding }),
  }
  const events = resumeLease(lease, { ...parts, signal: context.signal })
  await follow(context, events, { leases, known: lease, sent })
  await removeBlocks(context, lease.id)
  return EXIT.OK
}

export interface FollowOptions {
  readonly leases: LeaseFiles
  /** The lease that is at stake from the start. */
  readonly known?: Lease
  /** What went out from here so far. */
  readonly sent: SentBytes
}

export interface SentBytes {
  bytes: number
  readonly add: (bytes: number) => void
}

export function countBytes(): SentBytes {
  const sent: SentBytes = {
    bytes: 0,
    add(bytes) {
      sent.bytes += bytes
    },
  }
  return sent
}

/** Prints the events and, in the end, the result. */
export async function follow(
  context: Context,
  events: AsyncIterable<DeployEvent | PassedOver>,
  { leases, known, sent }: FollowOptions,
): Promise<Followed> {
  const print = createDeployProgress(context.output, { sentBytes: () => sent.bytes })
  let running: { lease: Lease; status: LeaseStatus } | undefined
  try {
    for await (const event of events) {
      print(event)
      if (event.step === 'status') running = event
    }
  } catch (error) {
    for (const line of verdictLines(error, context.output)) context.output.step('attest', line)
    tellWaysOut(context, leases.lastSaved ?? known, error)
    throw error
  }
  if (!running) return { kind: 'not-confirmed' }
  printRunning(context, running)
  return { kind: 'running' }
}

function printRunning({ output }: Context, { lease, status }: { lease: Lease; status: LeaseStatus }): void {
  output.result(formatStatus(lease, status, output.colours), { ...leaseJson(lease), status: statusJson(lease, status) })
  const id = shortId(lease.id)
  const reach = status.endpoints.map(curlCommand).filter((command) => command !== undefined)
  output.next(
    ...reach.slice(0, 1),
    `trustedpods status ${id} --follow   # goes on attesting the provider`,
    `trustedpods logs ${id} --follow`,
    `trustedpods stop ${id}`,
  )
}

function tellWaysOut({ output }: Context, lease: Lease | undefined, error: unknown): void {
  if (!lease || lease.kind === 'ended') return
  const id = shortId(lease.id)
  output.progress(`lease ${lease.id} (${lease.kind}) with provider ${lease.provider.peerId}: ${moneyAtRisk(lease)}`)
  if (lease.kind !== 'closing' && !isFinal(error))
    output.next(`trustedpods deploy --resume ${id}   # go on; nothing is paid twice`)
  output.next(`trustedpods stop ${id}   # end it and get the money back`)
}

/** The provider has refused or failed the pod for good: going on with its lease would only say so again. */
function isFinal(error: unknown): boolean {
  return error instanceof TrustedPodsError && error.remote && error.action !== 'retry'
}
