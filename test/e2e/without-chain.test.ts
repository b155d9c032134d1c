/** A provider that comes back while its chain does not: its pods must not notice. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { listContainers } from '@trusted-pods/platform/engine/containers.ts'
import { fromHex } from '@trusted-pods/protocol/bytes.ts'
import { CapacityRequestSchema, CapacityResponseSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { StopRequestSchema, StopResponseSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { Action } from '@trusted-pods/protocol/gen/trustedpods/v0/refusal_pb.ts'
import { request } from '@trusted-pods/protocol/wire/exchange.ts'
import { CAPACITY, STOP } from '@trusted-pods/protocol/wire/protocols.ts'
import { deploy } from '@trusted-pods/publisher/deploy.ts'
import { dial } from '@trusted-pods/publisher/dial.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import { watchStatus } from '@trusted-pods/publisher/status.ts'
import { readHelloManifest } from '../support/example.ts'
import { getByHost } from '../support/http.ts'
import { startPublisher, startWorld, type World } from '../support/world.ts'

async function killChain({ places }: World): Promise<void> {
  const { pid } = JSON.parse(await readFile(join(places.folder, 'pids', '2-anvil'), 'utf8'))
  process.kill(pid, 'SIGKILL')
}

test('with the chain gone a provider that restarts adopts, serves, meters and stops its pods, and refuses new ones', {
  timeout: 120_000,
}, async () => {
  await using world = await startWorld()
  await using publisher = await startPublisher(world)
  let lease: Lease | undefined
  for await (const event of deploy(await readHelloManifest(), await world.offer(), publisher.options()))
    if (event.step === 'status') lease = event.lease
  assert.ok(lease)
  await killChain(world)
  await world.killProvider()
  await world.startProvider()

  assert.equal((await getByHost(world.ready.http, 'hello.localhost')).status, 200)
  const seconds: bigint[] = []
  const signal = AbortSignal.timeout(30_000)
  for await (const { phase, receipt } of watchStatus(publisher.node, lease, { follow: true, signal })) {
    assert.equal(phase, 'running')
    if (receipt.kind === 'verified') seconds.push(receipt.runningSeconds)
    if ((seconds.at(-1) ?? 0n) > (seconds[0] ?? 0n) + 2n) break
  }

  await using peer = await dial(publisher.node, lease.provider, {})
  const ask = {
    request: CapacityRequestSchema,
    message: { resources: [{ name: 'cpu', quantity: 100n }] },
    response: CapacityResponseSchema,
  }
  const { result } = await request(peer.connection, CAPACITY, ask)
  assert.equal(result.case === 'refusal' && result.value.code, 'CHANNEL_RPC_UNAVAILABLE')
  assert.equal(result.case === 'refusal' && result.value.action, Action.RETRY)

  const stop = {
    request: StopRequestSchema,
    message: { podId: fromHex(lease.id) ?? new Uint8Array() },
    response: StopResponseSchema,
  }
  const stopped = await request(peer.connection, STOP, stop)
  assert.equal(stopped.result.case, 'settlement')
  assert.deepEqual(await listContainers(world.engine, { 'tp.role': 'member' }), [])
})
