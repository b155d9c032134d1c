/** Against a provider that speaks the protocol; what its evidence becomes, the test says. */
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Evidence, EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { toRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import { type Deviations, type FakeProvider, startFakeProvider } from '../../../test/support/fake-provider.ts'
import { leaseFacts } from '../../../test/support/lease-fixture.ts'
import { type AttestationNews, watchAttestation } from './attestation-watch.ts'
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

function memoryStore(): VerdictStore & { saved: VerdictSummary[] } {
  const saved: VerdictSummary[] = []
  return {
    saved,
    load: () => Promise.resolve(saved.at(-1)),
    save: (_, summary) => Promise.resolve(void saved.push(summary)),
  }
}

async function once(options: { policy?: Policy; verdicts?: VerdictStore } = {}, of = lease): Promise<AttestationNews> {
  for await (const news of watchAttestation(node, of, { policy: provider.policy, ...options })) return news
  return assert.fail('no news')
}

const withoutLists = (honest: Evidence) => create(EvidenceSchema, { ...honest, crls: [] })
const unavailable = () => toRefusal(new TrustedPodsError('ATTEST_UNAVAILABLE', 'no hardware'))

/** Takes evidence without a revocation list, with a warning. */
function lenient(): Policy {
  const { policy } = provider
  return {
    ...policy,
    allow: [...policy.allow, 'chain.revocation-unknown'],
    freshness: { ...policy.freshness, revocation: 'preferred' },
  }
}

test('an honest provider is proven, and that is remembered', async () => {
  const verdicts = memoryStore()
  const news = await once({ verdicts })
  assert.equal(news.kind, 'proven')
  assert.ok(news.kind === 'proven' && news.worse.length === 0)
  assert.deepEqual(verdicts.saved[0]?.expiresAt, news.kind === 'proven' && news.verdict.expiresAt)
})

test('a verdict that worsens and is still accepted is told with what is worse', async () => {
  const verdicts = memoryStore()
  const policy = lenient()
  await once({ policy, verdicts })
  provider.deviate.evidence = withoutLists
  const news = await once({ policy, verdicts })
  assert.deepEqual(news.kind === 'proven' && news.worse, [
    'chain.revocation-unknown passed before and is a warning now',
  ])
  const again = await once({ policy, verdicts })
  assert.deepEqual(again.kind === 'proven' && again.worse, [])
})

test('evidence that the policy does not take is a refusal with its verdict, and what was proven stays remembered', async () => {
  const verdicts = memoryStore()
  await once({ verdicts })
  provider.deviate.evidence = withoutLists
  const news = await once({ verdicts })
  assert.ok(news.kind === 'refused', news.kind)
  assert.equal(news.error.code, 'ATTEST_REFUSED')
  assert.ok(
    news.verdict?.checks.some(({ code, tier }) => code === 'chain.revocation-unknown' && tier === 'contraindicated'),
  )
  assert.equal(verdicts.saved.length, 1)
})

test("another meter than the channel's is a refusal", async () => {
  const other = leaseFacts({ provider: provider.offer })
  const news = await once({}, other)
  assert.ok(news.kind === 'refused' && /opened for/.test(news.error.message), news.kind)
})

test('a provider that gives no evidence is unknown while the last verdict holds, and expired afterwards', async () => {
  const verdicts = memoryStore()
  await once({ verdicts })
  provider.deviate.attestRefusal = unavailable()
  const news = await once({ verdicts })
  assert.ok(news.kind === 'unknown', news.kind)
  assert.deepEqual(news.provenUntil, verdicts.saved[0]?.expiresAt)
  const [summary] = verdicts.saved
  assert.ok(summary)
  await verdicts.save(lease.id, { ...summary, expiresAt: new Date(Date.now() - 1) })
  assert.equal((await once({ verdicts })).kind, 'expired')
  assert.equal((await once()).kind, 'expired')
})

test('what was proven by a clock that was set back since, or under a policy that gave it longer, holds no longer for that', async () => {
  const gone = leaseFacts({ provider: { ...provider.offer, multiaddrs: ['/ip4/127.0.0.1/tcp/9'] } })
  const kindAfter = async (verifiedAfterMs: number, lifeMs: number) => {
    const verifiedAt = new Date(Date.now() + verifiedAfterMs)
    const expiresAt = new Date(verifiedAt.getTime() + lifeMs)
    const verdicts = memoryStore()
    const summary = {
      evidenceType: 'snp',
      tier: 'warning',
      simulated: true,
      warnings: [],
      verifiedAt,
      expiresAt,
    } as const
    await verdicts.save(gone.id, summary)
    return (await once({ verdicts }, gone)).kind
  }
  const hour = 3_600_000
  assert.equal(await kindAfter(-hour / 2, hour), 'unknown')
  assert.equal(await kindAfter(1_000, hour), 'unknown')
  assert.equal(await kindAfter(2 * hour, hour), 'expired')
  assert.equal(await kindAfter(-2 * hour, 24 * hour), 'expired')
})

test('a provider that cannot be reached is unknown, never refused', async () => {
  const gone = leaseFacts({ provider: { ...provider.offer, multiaddrs: ['/ip4/127.0.0.1/tcp/9'] } })
  assert.equal((await once({}, gone)).kind, 'expired')
})

test('evidence that is only late is unknown: whoever slows the connection down must not have a pod ended', async () => {
  await using slow = await startFakeProvider()
  const theirs = leaseFacts({ provider: slow.offer, meter: slow.meter.address })
  const policy = { ...slow.policy, freshness: { ...slow.policy.freshness, nonceSeconds: 0.2 } }
  const lateAnd = (change: (honest: Evidence) => Evidence) => {
    slow.deviate.evidence = async (honest) => {
      await setTimeout(300)
      return change(honest)
    }
    return once({ policy }, theirs)
  }
  const late = await lateAnd((honest) => honest)
  assert.ok(late.kind === 'expired' && /binding\.stale/.test(late.error.message), late.kind)
  assert.equal((await lateAnd(withoutLists)).kind, 'refused')
})
