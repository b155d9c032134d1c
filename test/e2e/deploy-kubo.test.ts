/** A deployment whose image lies in the publisher's own IPFS node: the provider pulls it from the publisher, who reads it there. */
import assert from 'node:assert/strict'
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { filesBelow } from '@trusted-pods/platform/block-files.ts'
import { typeCommand } from '../support/command-line.ts'
import { getByHost } from '../support/http.ts'
import { noKubo, startKubo } from '../support/kubo-process.ts'
import { startWorld } from '../support/world.ts'

const MANIFEST = join(import.meta.dirname, '../../examples/hello/trustedpods.yml')

test('a pod runs from blocks that lie in Kubo alone, and its pin goes when the pod runs', {
  skip: noKubo,
  timeout: 180_000,
}, async (t) => {
  const kubo = await startKubo(t)
  await using world = await startWorld()
  await appendFile(world.places.publisherConfig, `\nipfsApi: ${kubo.url}\n`)
  const type = (...args: string[]) => typeCommand(world, args)
  const pinned = async () => (await kubo.ipfs('pin', 'ls', '--type=recursive', '--names')).match(/trusted-pods/g) ?? []

  const { code, stderr } = await type('deploy', MANIFEST, '--yes')
  assert.equal(code, 0, stderr)
  assert.equal((await getByHost(world.ready.http, 'hello.localhost')).status, 200)
  const blocks = join(world.places.folder, 'publisher/state/trustedpods/images/blocks')
  assert.deepEqual(await filesBelow(blocks), [])
  const objects = Number(/NumObjects: (\d+)/.exec(await kubo.ipfs('repo', 'stat'))?.[1])
  assert.ok(objects > 10, `${objects} blocks`)
  assert.deepEqual(await pinned(), [])
  const stopped = await type('stop', '--yes')
  assert.equal(stopped.code, 0, stopped.stderr)
})
