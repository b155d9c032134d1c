/** A provider that is killed at each phase and started again: one pod, one deposit, every unit accounted for. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { listContainers } from '@trusted-pods/platform/engine/containers.ts'
import { createNetwork, listNetworks } from '@trusted-pods/platform/engine/networks.ts'
import { createVolume, listVolumes, removeVolume } from '@trusted-pods/platform/engine/volumes.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { bridgeName, networkName, podLabels, volumeName } from '@trusted-pods/provider/runtime/pod-names.ts'
import { deploy } from '@trusted-pods/publisher/deploy.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import type { Phase } from '@trusted-pods/publisher/pod-status.ts'
import { watchStatus } from '@trusted-pods/publisher/status.ts'
import { stopLease } from '@trusted-pods/publisher/stop.ts'
import { readHelloManifest } from '../support/example.ts'
import { getByHost } from '../support/http.ts'
import { type Publisher, startPublisher, startWorld, type World } from '../support/world.ts'

let world: World
let publisher: Publisher
before(async () => {
  world = await startWorld()
  publisher = await startPublisher(world)
})
after(async () => {
  await publisher?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

/** Publisher, provider and escrow together: what the pods move, but never make or lose. */
async function totals() {
  const { token, provider, publisher: payer } = world.demo
  const of = (account: `0x${string}`) => tokenBalance(publisher.chain, { token, account })
  const [paid, earned, held] = await Promise.all([of(payer.address), of(provider.address), of(publisher.chain.escrow)])
  return { paid, earned, held, sum: paid + earned + held }
}

async function crash(): Promise<void> {
  await world.killProvider()
  await world.startProvider()
}

/** A phase may pass too quickly to be seen: the kill then comes at the next. */
const ORDER: readonly Phase[] = ['accepted', 'fetching', 'opening', 'starting', 'running']

/** Deploys, killing the provider once when it has come to `at`. */
async function deployThroughCrash(at: Phase): Promise<Lease> {
  let crashed = false
  let lease: Lease | undefined
  for await (const event of deploy(await readHelloManifest(), await world.offer(), publisher.options())) {
    if (event.step === 'provision' && ORDER.indexOf(event.status.phase) >= ORDER.indexOf(at) && !crashed) {
      crashed = true
      await crash()
    }
    if (event.step === 'status') lease = event.lease
  }
  assert.ok(crashed, `phase ${at} was never seen`)
  return lease ?? assert.fail('no lease')
}

async function stop(lease: Lease): Promise<void> {
  const outcome = await stopLease(publisher.chain, lease, { node: publisher.node, leases: publisher.options().leases })
  assert.equal(outcome.kind, 'ended')
}

/** A create that was under way when the provider was killed may show up late: the next round removes it. */
async function requireNothingLeft(): Promise<void> {
  const signal = AbortSignal.timeout(15_000)
  const parts = async () => [...(await listContainers(world.engine, {})), ...(await listNetworks(world.engine, {}))]
  while ((await parts()).some(({ labels }) => 'tp.pod' in labels)) {
    signal.throwIfAborted()
    await sleep(100)
  }
}

for (const phase of ['fetching', 'opening', 'starting'] as const) {
  test(`killed while ${phase}: the deployment goes on and one pod runs`, { timeout: 120_000 }, async () => {
    const before = await totals()
    const lease = await deployThroughCrash(phase)
    assert.equal((await listContainers(world.engine, { 'tp.role': 'member' })).length, 2)
    assert.equal((await getByHost(world.ready.http, 'hello.localhost')).status, 200)
    await stop(lease)
    await requireNothingLeft()
    const left = await totals()
    assert.equal(left.sum, before.sum)
  })
}

test('killed while running: the pod is adopted, serves, is billed on, and its receipts never fall', {
  timeout: 120_000,
}, async () => {
  const before = await totals()
  let lease: Lease | undefined
  for await (const event of deploy(await readHelloManifest(), await world.offer(), publisher.options())) {
    if (event.step === 'status') lease = event.lease
  }
  assert.ok(lease)
  const members = await listContainers(world.engine, { 'tp.role': 'member' })
  const owed = await owedAfter(lease, 2n)
  await crash()
  assert.deepEqual(
    (await listContainers(world.engine, { 'tp.role': 'member' })).map(({ id }) => id).sort(),
    members.map(({ id }) => id).sort(),
  )
  assert.equal((await getByHost(world.ready.http, 'hello.localhost')).status, 200)
  assert.ok((await owedAfter(lease, 4n)) >= owed)
  await stop(lease)
  await requireNothingLeft()
  const left = await totals()
  assert.ok(left.earned > before.earned)
  assert.equal(left.sum, before.sum)
})

test('killed while stopping: the next start finishes taking the pod down and settles', {
  timeout: 120_000,
}, async () => {
  const before = await totals()
  let lease: Lease | undefined
  for await (const event of deploy(await readHelloManifest(), await world.offer(), publisher.options())) {
    if (event.step === 'status') lease = event.lease
  }
  assert.ok(lease)
  const stopping = stop(lease)
  await untilLog('"text":"pod ending"')
  await crash()
  await stopping
  await requireNothingLeft()
  assert.equal((await totals()).sum, before.sum)
})

test('killed at any moment, round after round: always one pod, and the sums hold', { timeout: 240_000 }, async () => {
  const before = await totals()
  for (const delayMs of [0, 30, 100, 250, 500, 900]) {
    const provisioning = deployAndKill(delayMs)
    await stop(await provisioning)
    await requireNothingLeft()
    assert.equal((await totals()).sum, before.sum)
  }
})

/** Kills the provider `delayMs` after the request was sent, whatever it is doing then. */
async function deployAndKill(delayMs: number): Promise<Lease> {
  let lease: Lease | undefined
  let crashed: Promise<void> | undefined
  for await (const event of deploy(await readHelloManifest(), await world.offer(), publisher.options())) {
    if (event.step === 'channel') crashed = sleep(delayMs).then(crash)
    if (event.step === 'status') lease = event.lease
  }
  await crashed
  assert.equal((await listContainers(world.engine, { 'tp.role': 'member' })).length, 2)
  return lease ?? assert.fail('no lease')
}

test('of a pod that the journal does not know the containers are removed at the start, and its data stays', {
  timeout: 60_000,
}, async () => {
  await world.killProvider()
  const podId = 'ee'.repeat(32)
  const owner = world.ready.peerId.slice(-16).toLowerCase()
  const labels = podLabels(owner, podId, 'volume')
  await createVolume(world.engine, volumeName(podId, 0), { labels: { ...labels, 'tp.kind': 'volume' } })
  await createNetwork(world.engine, networkName(podId), { labels, bridge: bridgeName(podId), subnet: '10.213.77.0/28' })
  await world.startProvider()
  assert.deepEqual(await listNetworks(world.engine, { 'tp.pod': podId }), [])
  const [volume] = await listVolumes(world.engine, { 'tp.pod': podId })
  assert.ok(volume)
  await removeVolume(world.engine, volume.name)
})

async function owedAfter(lease: Lease, seconds: bigint): Promise<bigint> {
  for await (const { receipt } of watchStatus(publisher.node, lease, {
    follow: true,
    signal: AbortSignal.timeout(30_000),
  })) {
    assert.notEqual(receipt.kind, 'invalid')
    if (receipt.kind === 'verified' && receipt.runningSeconds >= seconds) return receipt.owed
  }
  return assert.fail('no receipt')
}

async function untilLog(text: string): Promise<void> {
  const signal = AbortSignal.timeout(20_000)
  while (!(await world.log()).includes(text)) {
    signal.throwIfAborted()
    await sleep(20)
  }
}
