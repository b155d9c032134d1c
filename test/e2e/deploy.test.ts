/** The whole chain, every part real: a pod is deployed, used, metered, claimed, stopped and settled. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { listContainers } from '@trusted-pods/platform/engine/containers.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { parseManifest } from '@trusted-pods/protocol/manifest/parse.ts'
import { deploy } from '@trusted-pods/publisher/deploy.ts'
import type { DeployEvent } from '@trusted-pods/publisher/deploy-event.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import { readLogs } from '@trusted-pods/publisher/logs.ts'
import { watchStatus } from '@trusted-pods/publisher/status.ts'
import { stopLease } from '@trusted-pods/publisher/stop.ts'
import { readHelloManifest, readHelloSecret } from '../support/example.ts'
import { getByHost } from '../support/http.ts'
import { startPublisher, startWorld, type World } from '../support/world.ts'

let world: World
before(async () => {
  world = await startWorld()
})
after(async () => {
  await world?.[Symbol.asyncDispose]()
})

async function runDeploy(events: AsyncIterable<DeployEvent>): Promise<{ steps: string[]; lease: Lease }> {
  const steps: string[] = []
  let lease: Lease | undefined
  for await (const event of events) {
    if (steps.at(-1) !== event.step) steps.push(event.step)
    if (event.step === 'status') lease = event.lease
  }
  return { steps, lease: lease ?? assert.fail('no lease') }
}

test('a pod goes through the seven steps, serves its page with env, secret and volume, is paid for, and leaves nothing', async () => {
  await using publisher = await startPublisher(world)
  const { chain, node, leases } = publisher
  const { token, provider, publisher: payer } = world.demo
  const balance = (account: `0x${string}`) => tokenBalance(chain, { token, account })
  const start = [await balance(payer.address), await balance(provider.address)] as const

  const { steps, lease } = await runDeploy(deploy(await readHelloManifest(), await world.offer(), publisher.options()))
  assert.deepEqual(steps, ['manifest', 'wire', 'attest', 'quote', 'channel', 'provision', 'status'])

  const page = await getByHost(world.ready.http, 'Hello.LOCALHOST:8080')
  assert.equal(page.status, 200)
  assert.match(page.body, /Hello from a trusted pod/)
  assert.ok(
    page.body.includes(
      createHash('sha256')
        .update(await readHelloSecret())
        .digest('hex'),
    ),
  )
  assert.equal((await getByHost(world.ready.http, 'other.localhost')).status, 421)

  const signal = AbortSignal.timeout(30_000)
  for await (const status of watchStatus(node, lease, { follow: true, signal })) {
    assert.deepEqual(
      status.containers.map(({ name, state }) => `${name} ${state}`),
      ['sidecar running', 'web running'],
    )
    assert.notEqual(
      status.receipt.kind,
      'invalid',
      JSON.stringify(status.receipt, (_, v) => (typeof v === 'bigint' ? `${v}` : v)),
    )
    if (status.receipt.kind === 'verified' && status.receipt.runningSeconds >= 5n) break
  }
  const lines: string[] = []
  for await (const line of readLogs(node, lease, { container: 'sidecar', tail: 2 }))
    lines.push(new TextDecoder().decode(line.text))
  assert.equal(lines.length, 2)
  assert.match(lines[0] ?? '', /line \d+ of the side-car/)

  const outcome = await stopLease(chain, lease, {
    node,
    leases: { save: async (saved) => void leases.set(saved.id, saved) },
  })
  assert.equal(outcome.kind, 'ended')
  const paid = (await balance(provider.address)) - start[1]
  assert.ok(paid > 0n, await world.log())
  assert.equal((await balance(payer.address)) + paid, start[0])
  assert.equal(await balance(chain.escrow), 0n)
  assert.equal(outcome.kind === 'ended' && outcome.paid, paid)
  assert.deepEqual(await listContainers(world.engine, { 'tp.role': 'member' }), [])
  assert.equal((await getByHost(world.ready.http, 'hello.localhost')).status, 421)
})

test('the shortest manifest runs: an image and nothing else', async () => {
  await using publisher = await startPublisher(world)
  const manifest = parseManifest(
    'type: trustedpods\nversion: "1.0"\ncontainers:\n  - image: trusted-pods/hello-sidecar:1\n',
  )
  const { lease } = await runDeploy(deploy(manifest, await world.offer(), publisher.options()))
  const lines: string[] = []
  for await (const line of readLogs(publisher.node, lease)) lines.push(new TextDecoder().decode(line.text))
  assert.ok(lines.length > 0)
  await stopLease(publisher.chain, lease, { node: publisher.node, leases: publisher.options().leases })
})

test('a program that ends at once fails the deployment with PROVISION_CONTAINER_EXITED, and the whole deposit comes back', async () => {
  await using publisher = await startPublisher(world)
  const { token, publisher: payer } = world.demo
  const start = await tokenBalance(publisher.chain, { token, account: payer.address })
  const manifest = parseManifest(
    'type: trustedpods\nversion: "1.0"\ncontainers:\n  - image: trusted-pods/hello-sidecar:1\n    command: sh -c "echo oops; exit 3"\n',
  )
  await assert.rejects(runDeploy(deploy(manifest, await world.offer(), publisher.options())), {
    code: 'PROVISION_CONTAINER_EXITED',
    message: /exited with code 3/,
  })
  const [lease] = publisher.leases.values()
  assert.ok(lease)
  const outcome = await stopLease(publisher.chain, lease, { node: publisher.node, leases: publisher.options().leases })
  assert.equal(outcome.kind, 'ended')
  assert.equal(await tokenBalance(publisher.chain, { token, account: payer.address }), start)
})
