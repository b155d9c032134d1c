/** A pod runs on while the machine under it goes on proving itself, or no longer: typed at the command line, every part real. */
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { listContainers } from '@trusted-pods/platform/engine/containers.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { typeCommand } from '../support/command-line.ts'
import { startWorld, type World } from '../support/world.ts'

let world: World
before(async () => {
  world = await startWorld()
})
after(async () => {
  await world?.[Symbol.asyncDispose]()
})

const type = (...args: string[]) => typeCommand(world, args)

/** Another machine under the same keys: what it shows now is endorsed by a root that nobody named. */
async function exchangeRoot(): Promise<void> {
  await world.killProvider()
  await rm(join(world.places.providerState, 'simulated-attester.json'))
  await world.startProvider()
}

test('a pod whose provider is refused later is told, and ended where that was asked for', async () => {
  const { token, publisher } = world.demo
  const balance = () => tokenBalance(world.demo.chain, { token, account: publisher.address })
  const start = await balance()
  const manifest = join(world.places.root, 'examples/hello/trustedpods.yml')
  const deployed = await type('deploy', manifest, '--yes', '--hours', '1')
  assert.equal(deployed.code, 0, deployed.stderr)

  const proven = await type('status', '-o', 'json')
  assert.equal(proven.code, 0, proven.stderr)
  const { attestation } = JSON.parse(proven.stdout)
  assert.deepEqual([attestation.kind, attestation.worse], ['proven', []])
  assert.match((await type('status')).stdout, /proven until \d{4}-/)

  await exchangeRoot()
  const refused = await type('status', '-o', 'json')
  assert.equal(refused.code, 5, refused.stdout)
  const seen = JSON.parse(refused.stdout)
  assert.deepEqual([seen.phase, seen.attestation.kind], ['running', 'refused'])
  assert.match(seen.attestation.failure.message, /chain\.untrusted-root/)
  assert.match(refused.stderr, /Next: trustedpods stop/)

  const ended = await type('status', '--follow', '--on-refused', 'stop')
  assert.equal(ended.code, 5, ended.stderr)
  assert.match(ended.stdout, /evidence refused: .*chain\.untrusted-root/)
  assert.match(ended.stdout, /ended: paid /)
  assert.match(ended.stderr, /ending the pod: its provider is refused/)
  assert.match((await type('ls', '--all')).stdout, /ended/)
  assert.deepEqual(await listContainers(world.engine, { 'tp.role': 'member' }), [])
  const paid = start - (await balance())
  assert.ok(paid >= 0n && paid < 10_000n, `${paid} base units were paid for a minute`)
})
