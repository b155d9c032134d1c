/** A publisher whose chain endpoint is down: what can be done without it is done, and the rest is told in one sentence. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { listContainers } from '@trusted-pods/platform/engine/containers.ts'
import { typeCommand } from '../support/command-line.ts'
import { startWorld, type World } from '../support/world.ts'

const EXAMPLE = join(import.meta.dirname, '../../examples/hello/trustedpods.yml')
/** Nobody listens there. */
const DEAD = 'http://127.0.0.1:9'
const NETWORK = 9

let world: World
let config: string
before(async () => {
  world = await startWorld()
  config = await readFile(world.places.publisherConfig, 'utf8')
})
after(async () => {
  await world?.[Symbol.asyncDispose]()
})

const type = (...args: string[]) => typeCommand(world, args)

async function blind(isBlind: boolean): Promise<void> {
  const text = isBlind ? config.replace(world.demo.rpc, DEAD) : config
  assert.equal(text === config, !isBlind)
  await writeFile(world.places.publisherConfig, text)
}

test('status and logs go on, fund and withdraw say why not, stop ends the pod and settles once the chain is there again', async () => {
  const deployed = await type('deploy', EXAMPLE, '--yes')
  assert.equal(deployed.code, 0, deployed.stderr)
  await blind(true)

  const status = await type('status', '-o', 'json', '--vouchers')
  assert.equal(status.code, 0, status.stderr)
  assert.equal(JSON.parse(status.stdout).phase, 'running')
  const logs = await type('logs', '--tail', '1')
  assert.equal(logs.code, 0, logs.stderr)
  assert.notEqual(logs.stdout, '')

  for (const args of [['fund', 'hello', '1', '--yes'], ['withdraw']]) {
    const refused = await type(...args)
    assert.equal(refused.code, NETWORK, refused.stderr)
    assert.match(refused.stderr, /CHANNEL_RPC_UNAVAILABLE.*no RPC endpoint answers: 127\.0\.0\.1:9/s)
  }

  const stopped = await type('stop', '--yes', '-o', 'json')
  assert.equal(stopped.code, NETWORK, stopped.stderr)
  const told = JSON.parse(stopped.stdout)
  assert.deepEqual([told.podStopped, told.settled, told.phase], [true, false, 'running'])
  assert.match(stopped.stderr, /asking the provider alone to end the pod/)
  assert.match(stopped.stderr, /trustedpods stop \w+ {3}# once the chain answers/)
  assert.deepEqual(await listContainers(world.engine, { 'tp.role': 'member' }), [])

  await blind(false)
  const settled = await type('stop', '--yes', '-o', 'json')
  assert.equal(settled.code, 0, settled.stderr)
  const { phase, paid, refund } = JSON.parse(settled.stdout)
  assert.equal(phase, 'ended')
  assert.ok(BigInt(paid) > 0n && BigInt(refund) > 0n)
})

test('with chain and provider gone nothing is said to have ended', async () => {
  const deployed = await type('deploy', EXAMPLE, '--yes')
  assert.equal(deployed.code, 0, deployed.stderr)
  await blind(true)
  await world.killProvider()
  const stopped = await type('stop', '--yes')
  assert.equal(stopped.code, NETWORK, stopped.stderr)
  assert.match(stopped.stderr, /nothing is known to have ended/)
  assert.equal(stopped.stdout, '')
  await world.startProvider()
  await blind(false)
  const settled = await type('stop', '--yes')
  assert.equal(settled.code, 0, settled.stderr)
})
