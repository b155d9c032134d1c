/** An IPFS node of the user's own in place of our folder: Kubo, as a process of its own. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { filesBelow } from '@trusted-pods/platform/block-files.ts'
import { openIpfsNode } from '@trusted-pods/platform/ipfs-node/kubo-node.ts'
import { nodeStreamCrypto } from '@trusted-pods/platform/stream-crypto.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { openBlocks, removeBlocks } from '../../packages/cli/src/blocks.ts'
import { loadConfig } from '../../packages/cli/src/config.ts'
import type { Context } from '../../packages/cli/src/context.ts'
import { imagePublisher } from '../../packages/cli/src/image-publisher.ts'
import { createOutput } from '../../packages/cli/src/output.ts'
import { startHttp } from '../support/hostile-registry.ts'
import { type ImageFolder, imageFolder } from '../support/image-cli.ts'
import { noKubo, startKubo } from '../support/kubo-process.ts'
import { memoryStream } from '../support/memory-stream.ts'
import { runProgramOf, skipWithout } from '../support/programs.ts'

const noSkopeo = await skipWithout('skopeo')
const skip = noKubo
const options = { skip, timeout: 120_000 }

const localBlocks = ({ folder }: ImageFolder) => filesBelow(join(folder, 'home/.local/state/trustedpods/images/blocks'))

async function encrypted(t: TestContext) {
  const files = await imageFolder(t)
  const { folder, run, recipient } = files
  await run('encrypt', `oci:${folder}/plain`, `oci:${folder}/enc`, '--recipient', recipient)
  return files
}

test(
  'a tree goes into Kubo under the CID that our folder gives it, is pinned, read back and removed',
  options,
  async (t) => {
    const [files, other, kubo] = [await encrypted(t), await imageFolder(t, ['gzip']), await startKubo(t)]
    const { folder, run, key } = files
    const { cid } = await run('publish', `oci:${folder}/enc`, '--ipfs-api', kubo.url)
    assert.equal((await other.run('publish', `oci:${folder}/enc`)).cid, cid)
    assert.deepEqual(await localBlocks(files), [])
    assert.match(
      await kubo.ipfs('pin', 'ls', '--type=recursive', '--names'),
      new RegExp(`${cid} recursive trusted-pods`),
    )
    assert.match(await kubo.ipfs('ls', `/ipfs/${cid}`), /oci-layout/)
    const [image] = (await run('ls')) as unknown as Record<string, unknown>[]
    assert.deepEqual([image?.cid, image?.ipfsApi, image?.isKept], [cid, `${kubo.url}/`, true])

    // The store knows where it lies: nobody names the node again.
    await run('decrypt', `ipfs:${cid}`, `oci:${folder}/opened`, '--key', key)
    await run('rm', `ipfs:${cid}`)
    assert.ok(!(await kubo.ipfs('pin', 'ls', '--type=recursive')).includes(String(cid)))
    await kubo.ipfs('repo', 'gc')
    await assert.rejects(kubo.ipfs('--offline', 'ls', `/ipfs/${cid}`), /could not find/)
  },
)

test(
  'a deployment’s images lie in Kubo while the lease needs them, and what did not change is not sent again',
  options,
  async (t) => {
    const [files, kubo] = [await imageFolder(t), await startKubo(t)]
    const { folder } = files
    const context = await contextIn(files, `ipfsApi: ${kubo.url}\n`)
    const publish = async (lease: string) => {
      const blocks = await openBlocks(context, lease)
      const config = await loadConfig(context.configPath)
      const images = imagePublisher(context, { config, blocks, privacy: 'sealed', folder })
      const published = await images.publish('oci:plain', {})
      const { privateKey, cid } = published
      const limits = { encryptedBytes: 2 ** 30, unpackedBytes: 2 ** 30 }
      const opened = await openImage(blocks.blockstore, { cid, privateKey, crypto: nodeStreamCrypto, limits })
      assert.equal(opened.layers.length, 4)
      await blocks[Symbol.asyncDispose]()
      return CID.decode(cid).toString()
    }
    const objects = async () => Number(/NumObjects: (\d+)/.exec(await kubo.ipfs('repo', 'stat'))?.[1])
    const first = await publish('11'.repeat(32))
    const before = await objects()
    const second = await publish('22'.repeat(32))
    // Manifest, index and folders alone are new.
    assert.ok((await objects()) - before <= 6, `${before} → ${await objects()}`)
    assert.deepEqual(await localBlocks(files), [])
    const pinned = async () => {
      const names = await kubo.ipfs('pin', 'ls', '--type=recursive', '--quiet')
      return [first, second].filter((cid) => names.includes(cid))
    }
    assert.deepEqual(await pinned(), [first, second])
    await removeBlocks(context, '11'.repeat(32))
    assert.deepEqual(await pinned(), [second])
  },
)

async function contextIn({ folder }: ImageFolder, config: string): Promise<Context> {
  const env = { HOME: join(folder, 'home') }
  const [stdout, stderr] = [memoryStream(), memoryStream()]
  await writeFile(join(folder, 'config.yaml'), `engine: /nowhere/docker.sock\n${config}`)
  const { signal } = new AbortController()
  return {
    output: createOutput(stdout, stderr, { format: 'pretty', quiet: false, env }),
    around: { stdout, stderr, stdin: Readable.from([]), env, signal },
    signal,
    configPath: join(folder, 'config.yaml'),
    stateFolder: join(folder, 'home/.local/state/trustedpods'),
    debug: false,
  }
}

test('a node that wants a secret is shown the one in the file, and nothing without it', options, async (t) => {
  const files = await encrypted(t)
  const { folder, tryRun, run } = files
  const secret = 'bearer:only-for-us'
  const allowed = { us: { AuthSecret: secret, AllowedPaths: ['/api/v0'] } }
  const kubo = await startKubo(t, { config: { 'API.Authorizations': allowed }, auth: secret })
  const args = ['publish', `oci:${folder}/enc`, '--ipfs-api', kubo.url]
  const without = await tryRun(...args)
  assert.equal(without.code, 2, without.stderr)
  assert.match(without.stderr, /refuses version \(403\): it wants a secret: ipfsApiAuthFile/)
  const file = join(folder, 'ipfs.auth')
  await writeFile(file, 'bearer:somebody-else', { mode: 0o600 })
  const wrong = await tryRun(...args, '--ipfs-api-auth-file', file)
  assert.match(wrong.stderr, /do not allow it with this secret/)
  assert.ok(!wrong.stderr.includes('somebody-else'))
  await writeFile(file, `${secret}\n`)
  const { cid } = await run(...args, '--ipfs-api-auth-file', file)
  assert.match(await kubo.ipfs('pin', 'ls', '--type=recursive'), new RegExp(String(cid)))
})

const BYTES = Buffer.from('a block')

async function cidOf(bytes: Uint8Array): Promise<CID> {
  return CID.createV1(raw.code, await sha256.digest(bytes))
}

test('what a node says that it took and pinned is held against what it was given', async () => {
  const cid = await cidOf(BYTES)
  const honest = {
    version: { Version: '0.43.0' },
    'dag/import': { Stats: { BlockCount: 1 } },
    'pin/add': { Pins: [`${cid}`] },
  }
  const pin = async (answers: Record<string, object>) => {
    await using server = await startHttp((request, response) => {
      request.resume()
      const command = /^\/api\/v0\/([^?]+)/.exec(request.url ?? '')?.[1] ?? ''
      response.end(JSON.stringify(answers[command]))
    })
    const node = await openIpfsNode({ url: new URL(`http://${server.host}`) })
    await node.blockstore.put(cid, BYTES)
    await node.pin(cid)
  }
  await pin(honest)
  const refused = (message: RegExp) => ({ code: 'PLATFORM_IPFS_NODE', message })
  await assert.rejects(pin({ ...honest, 'dag/import': { Stats: { BlockCount: 0 } } }), refused(/took 0 of 1 blocks/))
  const other = `${await cidOf(Buffer.from('another'))}`
  await assert.rejects(pin({ ...honest, 'pin/add': { Pins: [other] } }), refused(/did not pin/))
  await assert.rejects(pin({ ...honest, version: [] }), refused(/not as Kubo does/))
})

test('Kubo refuses a block that is not what its CID says, and a tree with a hole is not pinned', options, async (t) => {
  const { url } = await startKubo(t)
  const [cid, node] = [await cidOf(BYTES), await openIpfsNode({ url: new URL(url) })]
  const refused = { code: 'PLATFORM_IPFS_NODE' }
  await assert.rejects(node.pin(cid), refused)
  await node.blockstore.put(cid, Buffer.from('bent'))
  await assert.rejects(node.pin(cid), refused)
  const again = await openIpfsNode({ url: new URL(url) })
  assert.equal(await again.blockstore.has(cid), false)
  await again.blockstore.put(cid, BYTES)
  assert.deepEqual(Buffer.concat(await Array.fromAsync(again.blockstore.get(cid))), BYTES)
  await again.pin(cid)
})

test('what is no Kubo, or does not answer, is told before anything is encrypted', async (t) => {
  const { folder, tryRun } = await imageFolder(t, ['gzip'])
  const publish = (url: string) => tryRun('publish', `oci:${folder}/plain`, '--ipfs-api', url)
  const gone = await startHttp(() => {})
  await gone[Symbol.asyncDispose]()
  await using web = await startHttp((_, response) => void response.end('<html>'))
  for (const [url, code, message] of [
    [`http://${gone.host}`, 9, /the IPFS node at .* does not answer: ECONNREFUSED/],
    [`http://${web.host}`, 9, /not as Kubo does/],
    ['127.0.0.1:5001', 2, /is no address of an IPFS node/],
    ['http://user:password@127.0.0.1:5001', 2, /secrets go into ipfsApiAuthFile/],
    ['http://:password@127.0.0.1:5001', 2, /secrets go into ipfsApiAuthFile/],
  ] as const) {
    const { code: found, stderr } = await publish(url)
    assert.equal(found, code, stderr)
    assert.match(stderr, message)
    if (url.includes('password')) assert.ok(!stderr.includes(':password'))
  }
})

test('a secret that a node repeats does not come into what is told', async () => {
  await using echo = await startHttp(({ headers }, response) => {
    const [, shown = ''] = (headers.authorization ?? '').split(' ')
    response.statusCode = 500
    response.end(JSON.stringify({ Message: `no ${shown} ${Buffer.from(shown, 'base64').toString()}` }))
  })
  for (const authSecret of ['bearer:TOKEN-of-mine', 'basic:me:PASSWORD-of-mine'])
    await assert.rejects(openIpfsNode({ url: new URL(`http://${echo.host}`), authSecret }), (error: Error) => {
      assert.match(error.message, /answers version with 500 no \(secret\)/)
      assert.doesNotMatch(error.message, /of-mine/)
      return true
    })
})

test('one Kubo fetches the tree from another by its CID alone; skopeo opens what came', {
  ...options,
  skip: skip || noSkopeo,
}, async (t) => {
  const files = await encrypted(t)
  const { folder, run, key } = files
  const addresses = { 'Addresses.Swarm': ['/ip4/127.0.0.1/tcp/0'] }
  const [here, there] = [
    await startKubo(t, { isOnline: true, config: addresses }),
    await startKubo(t, { isOnline: true, config: addresses }),
  ]
  const { cid } = await run('publish', `oci:${folder}/enc`, '--ipfs-api', here.url)
  const { Addresses } = JSON.parse(await here.ipfs('id')) as { Addresses: string[] }
  await there.ipfs('swarm', 'connect', Addresses.find((address) => address.includes('127.0.0.1')) ?? assert.fail())
  await there.ipfs('get', `/ipfs/${cid}`, '-o', join(folder, 'got'))
  const args = ['--insecure-policy', 'copy', '--quiet', '--decryption-key', key]
  await runProgramOf('skopeo', [...args, `oci:${folder}/got:latest`, `oci:${folder}/opened:v1`])
  await there.ipfs('pin', 'add', String(cid))
})
