/** A reorganisation that removes the deposit of a running pod: it is suspended with its data, paid for again, and goes on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listContainers } from '@trusted-pods/platform/engine/containers.ts'
import { listVolumes } from '@trusted-pods/platform/engine/volumes.ts'
import { deploy } from '@trusted-pods/publisher/deploy.ts'
import type { LeaseOf } from '@trusted-pods/publisher/lease.ts'
import type { Phase } from '@trusted-pods/publisher/pod-status.ts'
import { watchStatus } from '@trusted-pods/publisher/status.ts'
import { stopLease } from '@trusted-pods/publisher/stop.ts'
import { createTestClient, http } from 'viem'
import { readHelloManifest } from '../support/example.ts'
import { getByHost } from '../support/http.ts'
import { type Publisher, startPublisher, startWorld, type World } from '../support/world.ts'

async function deployHello(world: World, publisher: Publisher): Promise<LeaseOf<'running'>> {
  for await (const event of deploy(await readHelloManifest(), await world.offer(), publisher.options()))
    if (event.step === 'status' && event.lease.kind === 'running') return event.lease
  return assert.fail('no lease')
}

/** Everything from the opening on is gone, and mined again only when somebody sends it again. */
async function removeDeposit({ demo }: World, { channel }: LeaseOf<'running'>): Promise<void> {
  const { blockNumber } = channel.opening ?? assert.fail('the opening was not seen')
  const control = createTestClient({ mode: 'anvil', transport: http(demo.rpc) })
  const depth = Number((await demo.chain.public.getBlockNumber()) - blockNumber) + 1
  await control.request({ method: 'anvil_reorg' as never, params: [depth, []] as never })
}

async function until(publisher: Publisher, lease: LeaseOf<'running'>, wanted: Phase): Promise<void> {
  const signal = AbortSignal.timeout(60_000)
  for await (const { phase } of watchStatus(publisher.node, lease, { follow: true, signal }))
    if (phase === wanted) return
}

test('a pod whose deposit is removed is suspended, its opening sent again, and it runs on with its data', {
  timeout: 180_000,
}, async () => {
  await using world = await startWorld()
  await using publisher = await startPublisher(world)
  const lease = await deployHello(world, publisher)
  const volumes = await listVolumes(world.engine, { 'tp.kind': 'volume' })
  const suspended = until(publisher, lease, 'suspended')
  await removeDeposit(world, lease)
  await suspended
  await until(publisher, lease, 'running')
  assert.match(await world.log(), /pod suspended, its data kept.*deposit-missing/)
  assert.equal((await getByHost(world.ready.http, 'hello.localhost')).status, 200)
  assert.deepEqual(await listVolumes(world.engine, { 'tp.kind': 'volume' }), volumes)
  const outcome = await stopLease(publisher.chain, lease, { node: publisher.node, leases: publisher.options().leases })
  assert.equal(outcome.kind, 'ended')
  assert.deepEqual(await listContainers(world.engine, { 'tp.role': 'member' }), [])
})
