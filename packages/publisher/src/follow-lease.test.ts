/** A lease that is watched for long, against a provider that speaks the protocol. */
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Evidence, EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { PodPhase } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import { toRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import { type Deviations, type FakeProvider, startFakeProvider } from '../../../test/support/fake-provider.ts'
import { leaseFacts } from '../../../test/support/lease-fixture.ts'
import { watchAttestation } from './attestation-watch.ts'
import { followLease } from './follow-lease.ts'
import type { LeaseFacts } from './lease.ts'
import type { VerdictStore, VerdictSummary } from './verdict-summary.ts'

let provider: FakeProvider
let node: Libp2p
let lease: LeaseFacts
before(async () => {
  provider = await startFakeProvider()
  node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  lease = leaseFacts({ provider: provider.offer, meter: provider.meter.address })
})
afterEach(() => {
  for (const key of Object.keys(provider.deviate)) delete provider.deviate[key as keyof Deviations]
})
after(async () => {
  await node.stop()
  await provider[Symbol.asyncDispose]()
})

/** What is proven holds for so long only. */
function shortLived(seconds: number): Policy {
  const { policy } = provider
  return { ...policy, freshness: { ...policy.freshness, verdictMinutes: seconds / 60 } }
}

test('while it is followed, each verdict is renewed before it ends', async () => {
  const proven: Date[][] = []
  for await (const news of watchAttestation(node, lease, { policy: shortLived(5), follow: true })) {
    assert.ok(news.kind === 'proven', news.kind)
    proven.push([news.verdict.verifiedAt, news.verdict.expiresAt])
    if (proven.length === 2) break
  }
  for (const [i, [verifiedAt]] of proven.entries()) {
    const before = proven[i - 1]?.[1]
    assert.ok(!before || (verifiedAt && verifiedAt < before), `${verifiedAt?.toISOString()} is after ${before}`)
  }
})

test('a provider that falls silent is unknown at first and expired when the verdict ends, each told once', async () => {
  const kinds: string[] = []
  const endsAt: (Date | undefined)[] = []
  for await (const news of watchAttestation(node, lease, { policy: shortLived(2), follow: true })) {
    kinds.push(news.kind)
    if (news.kind === 'proven') endsAt.push(news.verdict.expiresAt)
    provider.deviate.attestRefusal = toRefusal(new TrustedPodsError('ATTEST_UNAVAILABLE', 'no hardware'))
    if (news.kind !== 'expired') continue
    assert.deepEqual(news.provenUntil, endsAt[0])
    assert.ok(Date.now() >= (endsAt[0]?.getTime() ?? Number.POSITIVE_INFINITY))
    break
  }
  // On a busy machine the time can be over before the first try has failed.
  assert.deepEqual(kinds, kinds.length === 3 ? ['proven', 'unknown', 'expired'] : ['proven', 'expired'])
})

test('following ends with the signal', async () => {
  const stop = new AbortController()
  const watch = watchAttestation(node, lease, { policy: provider.policy, follow: true, signal: stop.signal })
  assert.equal((await watch.next()).value?.kind, 'proven')
  stop.abort(new Error('enough'))
  await assert.rejects(watch.next(), /enough/)
})

test('a lease that is followed tells its status and its attestation, and ends with the pod', async () => {
  const ended = Promise.withResolvers<void>()
  provider.deviate.status = async function* (podId) {
    yield { sequence: 1n, phase: PodPhase.RUNNING, podId }
    await ended.promise
    yield { sequence: 2n, phase: PodPhase.STOPPED, podId }
  }
  const seen: string[] = []
  for await (const news of followLease(node, lease, { policy: provider.policy })) {
    seen.push(news.kind === 'status' ? news.status.phase : news.attestation.kind)
    if (seen.includes('running') && seen.includes('proven')) ended.resolve()
  }
  assert.deepEqual(seen.toSorted(), ['proven', 'running', 'stopped'])
  assert.equal(seen.at(-1), 'stopped')
})

const withoutCertificates = (honest: Evidence) => create(EvidenceSchema, { ...honest, certificates: [] })

/** What is told of a provider of its own that is refused and says this of the pod, and what is thrown in the end. */
async function followRefused(status: NonNullable<Deviations['status']>) {
  await using refused = await startFakeProvider()
  // The pod's end is told before there is evidence.
  refused.deviate.evidence = async (honest) => {
    await setTimeout(200)
    return withoutCertificates(honest)
  }
  refused.deviate.status = status
  const theirs = leaseFacts({ provider: refused.offer, meter: refused.meter.address })
  const seen: string[] = []
  try {
    for await (const news of followLease(node, theirs, { policy: refused.policy }))
      seen.push(news.kind === 'status' ? news.status.phase : news.attestation.kind)
  } catch (error) {
    assert.ok(error instanceof TrustedPodsError, String(error))
    return [...seen, error.code]
  }
  return seen
}

test('a refused provider does not end the watch unseen by saying that the pod has ended', async () => {
  const seen = await followRefused(async function* (podId) {
    yield { sequence: 1n, phase: PodPhase.STOPPED, podId }
  })
  assert.deepEqual(seen, ['stopped', 'refused'])
})

test('nor by refusing to know the pod', async () => {
  const seen = await followRefused(async function* () {
    yield { refusal: toRefusal(new TrustedPodsError('STATUS_UNKNOWN_POD', 'there is no such pod')) }
  })
  assert.deepEqual(seen, ['refused', 'STATUS_UNKNOWN_POD'])
})

test('nor by an answer that breaks the protocol', async () => {
  const seen = await followRefused(async function* (podId) {
    yield { sequence: 7n, phase: PodPhase.RUNNING, podId }
  })
  assert.deepEqual(seen, ['refused', 'WIRE_MALFORMED'])
})

test('nor by giving no evidence any more: what it proved before has to end first', async () => {
  const silent = await startFakeProvider()
  const refusal = toRefusal(new TrustedPodsError('ATTEST_UNAVAILABLE', 'no hardware'))
  const policy = { ...silent.policy, freshness: { ...silent.policy.freshness, verdictMinutes: 3 / 60 } }
  const proven = Promise.withResolvers<void>()
  silent.deviate.status = async function* (podId) {
    await proven.promise
    yield { sequence: 1n, phase: PodPhase.STOPPED, podId }
  }
  const theirs = leaseFacts({ provider: silent.offer, meter: silent.meter.address })
  const saved: VerdictSummary[] = []
  const verdicts: VerdictStore = {
    load: () => Promise.resolve(saved.at(-1)),
    save: (_, summary) => Promise.resolve(void saved.push(summary)),
  }
  const seen: string[] = []
  for await (const news of followLease(node, theirs, { policy, leases: { verdicts } })) {
    seen.push(news.kind === 'status' ? news.status.phase : news.attestation.kind)
    silent.deviate.attestRefusal = refusal
    proven.resolve()
  }
  await silent[Symbol.asyncDispose]()
  // On a busy machine the time can be over before the first try has failed.
  assert.deepEqual(
    seen.filter((kind) => kind !== 'unknown'),
    ['proven', 'stopped', 'expired'],
  )
})

test('an abort while whoever follows is busy with a piece of news is no unhandled rejection', async () => {
  const unhandled: unknown[] = []
  const onUnhandled = (reason: unknown) => void unhandled.push(reason)
  process.on('unhandledRejection', onUnhandled)
  try {
    provider.deviate.evidence = withoutCertificates
    const stop = new AbortController()
    for await (const news of followLease(node, lease, { policy: provider.policy, signal: stop.signal })) {
      if (news.kind !== 'attestation') continue
      stop.abort(new Error('enough'))
      await setImmediate()
      break
    }
    assert.deepEqual(unhandled, [])
  } finally {
    process.off('unhandledRejection', onUnhandled)
  }
})

test('a provider that goes away is waited for, that is told once, and what it proved ends in its time', async () => {
  const gone = await startFakeProvider()
  const theirs = leaseFacts({ provider: gone.offer, meter: gone.meter.address })
  const policy = { ...gone.policy, freshness: { ...gone.policy.freshness, verdictMinutes: 2 / 60 } }
  const lost: string[] = []
  const seen: string[] = []
  for await (const news of followLease(node, theirs, { policy, onLost: ({ code }) => void lost.push(code) })) {
    seen.push(news.kind === 'status' ? news.status.phase : news.attestation.kind)
    if (seen.length === 2) await gone[Symbol.asyncDispose]()
    if (seen.includes('expired')) break
  }
  assert.deepEqual(seen.filter((kind) => kind !== 'unknown').toSorted(), ['expired', 'proven', 'running'])
  assert.equal(seen.at(-1), 'expired')
  assert.equal(lost.length, 1)
})
