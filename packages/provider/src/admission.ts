/**
 * Whether a provision request becomes a pod: every check that needs nothing from the chain or the runtime, in order, each with
 * one code. Spec: spec/PROTOCOL.md#admission.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import type { PeerId } from '@libp2p/interface'
import { equalBytes, sha256 } from '@trusted-pods/protocol/bytes.ts'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { SignedQuote } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { type Pod, PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { type PricingTable, PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import type { ProvisionRequest } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import { checkPod } from '@trusted-pods/protocol/manifest/check-pod.ts'
import { podResources } from '@trusted-pods/protocol/manifest/resources.ts'
import { type OpenedQuote, openQuote, quoteDigest } from '@trusted-pods/protocol/pricing/quote.ts'
import type { Address } from 'viem'
import type { PortRange } from './config.ts'
import { httpRoutes } from './pod-spec.ts'

/** Copies that this provider runs of one pod. */
const REPLICAS_HERE = 1

export interface AdmissionParts {
  readonly meter: Address
  readonly peerId: PeerId
  /** Host ports that pods may publish. */
  readonly ports: PortRange
}

export interface Admitted {
  readonly pod: Pod
  readonly quote: OpenedQuote
  /** The quote as it came. */
  readonly signedQuote: SignedQuote
  /** SHA-256 of the quote's bytes. */
  readonly quoteDigest: Uint8Array
}

/** The pod and its quote, once they are sound and belong together. @throws TrustedPodsError PROVISION_… or QUOTE_…. */
export async function admit(
  podBytes: Uint8Array,
  request: ProvisionRequest,
  publisher: PeerId,
  parts: AdmissionParts,
): Promise<Admitted> {
  const pod = decodePod(podBytes)
  checkPod(pod)
  checkReplicas(pod)
  checkPorts(pod, parts.ports)
  if (!request.quote) throw refuse('PROVISION_BAD_REQUEST', 'the request has no quote')
  const quote = await openQuote(request.quote, {
    meter: parts.meter,
    now: new Date(),
    publisher: publisher.toMultihash().bytes,
    provider: parts.peerId.toMultihash().bytes,
  })
  const digest = await quoteDigest(request.quote)
  if (!equalBytes(pod.quoteDigest, digest))
    throw refuse('QUOTE_MISMATCH', 'the pod was priced by another quote than the request carries')
  if (!pod.pricing || !(await samePricing(pod.pricing, quote.pricing)))
    throw refuse('QUOTE_MISMATCH', 'the prices in the pod are not those of its quote')
  checkResources(pod, quote)
  return { pod, quote, signedQuote: request.quote, quoteDigest: digest }
}

function decodePod(bytes: Uint8Array): Pod {
  try {
    return fromBinary(PodSchema, bytes)
  } catch (cause) {
    throw new TrustedPodsError('PROVISION_BAD_POD', `the sealed ${bytes.length} bytes are no Pod`, { cause })
  }
}

async function samePricing(a: PricingTable, b: PricingTable): Promise<boolean> {
  return equalBytes(await sha256(toBinary(PricingTableSchema, a)), await sha256(toBinary(PricingTableSchema, b)))
}

function checkResources(pod: Pod, quote: OpenedQuote): void {
  for (const { name, selector, quantity } of podResources(pod)) {
    const quoted =
      quote.resources.find((resource) => resource.name === name && resource.selector === selector)?.quantity ?? 0n
    if (quantity > quoted)
      throw refuse('PROVISION_OVER_QUOTE', `the pod needs ${quantity} of ${name}, ${quoted} were quoted`)
  }
  for (const { host } of httpRoutes(pod)) {
    if (!quote.httpHosts.includes(host)) throw refuse('PROVISION_OVER_QUOTE', `host ${host} is not in the quote`)
  }
}

function checkReplicas({ replicas }: Pod): void {
  if (replicas && replicas.min > REPLICAS_HERE) {
    throw refuse('PROVISION_BAD_POD', `replicas.min is ${replicas.min}, this provider runs at most ${REPLICAS_HERE}`)
  }
}

function checkPorts({ containers }: Pod, { from, to }: PortRange): void {
  for (const { name, ports } of containers) {
    const outside = ports.find(({ httpHost, port }) => httpHost === '' && (port < from || port > to))
    if (!outside) continue
    throw refuse(
      'PROVISION_BAD_POD',
      `container ${name} publishes port ${outside.port}, this provider offers ${from} to ${to}`,
    )
  }
}

function refuse(code: ErrorCode, message: string): TrustedPodsError {
  return new TrustedPodsError(code, message)
}
