/** A wire pod bound to the quote that prices it. Spec: spec/MANIFEST.md#wire. Pure. */
import { create, toBinary } from '@bufbuild/protobuf'
import { type Pod, PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { AgreedQuote } from './quote.ts'

/** The bytes that are sealed and stored: the pod with the price table and the digest of the quote. Secret. */
export function encodePricedPod(pod: Pod, { quote, digest }: AgreedQuote): Uint8Array {
  return toBinary(PodSchema, create(PodSchema, { ...pod, pricing: quote.pricing, quoteDigest: digest }))
}

/** Host names that the pod wants at the HTTP front, each once. */
export function httpHosts(pod: Pod): string[] {
  const hosts = pod.containers
    .flatMap(({ ports }) => ports.map(({ httpHost }) => httpHost))
    .filter((host) => host !== '')
  return [...new Set(hosts)]
}
