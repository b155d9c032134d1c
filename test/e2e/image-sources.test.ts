/** Images of some size on their way to a provider: told of on both sides, from whoever has them, and never twice whatever is killed. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { listContainers } from '@trusted-pods/platform/engine/containers.ts'
import { saveImage } from '@trusted-pods/platform/engine/images.ts'
import { openDockerArchive } from '@trusted-pods/platform/engine-image-source.ts'
import { type FileBlockstore, openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { tarFile, writeTar } from '@trusted-pods/platform/tar-writer.ts'
import { serveBlocks } from '@trusted-pods/protocol/image/blocks.ts'
import type { ImageSource } from '@trusted-pods/protocol/image/image-source.ts'
import { layerType } from '@trusted-pods/protocol/image/media-types.ts'
import { type PublishedImage, publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { treeBytes } from '@trusted-pods/protocol/image/tree-bytes.ts'
import { parseManifest } from '@trusted-pods/protocol/manifest/parse.ts'
import { attest } from '@trusted-pods/publisher/attest.ts'
import { deploy } from '@trusted-pods/publisher/deploy.ts'
import { dial } from '@trusted-pods/publisher/dial.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import { paymentFor } from '@trusted-pods/publisher/payment.ts'
import { requestQuote } from '@trusted-pods/publisher/quote.ts'
import { resumeLease } from '@trusted-pods/publisher/resume.ts'
import type { LeaseStatus } from '@trusted-pods/publisher/status-stream.ts'
import { stopLease } from '@trusted-pods/publisher/stop.ts'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { collect, sha256Text } from '../support/image-fixture.ts'
import { type Publisher, startPublisher, startWorld, type World } from '../support/world.ts'

const SIDECAR = 'trusted-pods/hello-sidecar:1'
const LAYER_BYTES = 24 * 1024 * 1024
/** Four streams, each with up to one batch on its way and one being stored. */
const UNDER_WAY = 16

let world: World
let publisher: Publisher
before(async () => {
  world = await startWorld({ allowPrivateSources: true })
  publisher = await startPublisher(world)
})
after(async () => {
  await publisher?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

/** The side-car with a layer of random bytes on top: it runs, and it takes its time to fetch. */
async function largeImage(tempDir: string): Promise<ImageSource> {
  const small = await openDockerArchive(await saveImage(world.engine, SIDECAR), { name: SIDECAR, tempDir })
  const tar = await collect(writeTar([tarFile('large.bin', randomBytes(LAYER_BYTES))]))
  const config = JSON.parse(Buffer.from(small.config).toString())
  config.rootfs.diff_ids.push(sha256Text(tar))
  const open = async function* () {
    for (let at = 0; at < tar.length; at += 1 << 20) yield tar.subarray(at, at + (1 << 20))
  }
  const layer = { mediaType: layerType('none'), diffId: sha256Text(tar), size: tar.length, open }
  return { ...small, config: Buffer.from(JSON.stringify(config)), layers: [...small.layers, layer] }
}

interface Large {
  readonly blockstore: FileBlockstore
  readonly image: PublishedImage
}

async function publishLarge(t: TestContext): Promise<Large> {
  const folder = await mkdtemp(join(world.places.folder, 'large-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const blockstore = await openFileBlockstore(join(folder, 'blocks'))
  await using source = await largeImage(join(folder, 'tmp'))
  return { blockstore, image: await publishImage(source, { blockstore, crypto }) }
}

/** What is asked of a store, slowly; `gone` from some moment on. */
function watched(blockstore: Blockstore, delayMs: number) {
  const asked: string[] = []
  const state = { isGone: false, asked }
  const store: Blockstore = Object.assign(Object.create(blockstore), {
    async *get(cid: CID) {
      if (state.isGone) throw Object.assign(new Error('gone'), { name: 'NotFoundError' })
      await sleep(delayMs)
      asked.push(cid.toString())
      yield* blockstore.get(cid)
    },
  })
  return { store, state }
}

const manifestWith = (sources: readonly string[]) =>
  parseManifest(
    `type: trustedpods\nversion: "1.0"\ncontainers:\n  - {image: large, sources: [${sources.join(', ')}], resources: {cpu: 100m, memory: 128Mi}}\n`,
  )

async function runs(): Promise<void> {
  const signal = AbortSignal.timeout(60_000)
  const members = async () => listContainers(world.engine, { 'tp.role': 'member' })
  while (!(await members()).some(({ state }) => state === 'running')) {
    signal.throwIfAborted()
    await sleep(100)
  }
}

async function stop(lease: Lease): Promise<void> {
  const { leases } = publisher.options()
  assert.equal((await stopLease(publisher.chain, lease, { node: publisher.node, leases })).kind, 'ended')
}

test('the publisher is told from the first how much there is to fetch, and how far it is', {
  timeout: 120_000,
}, async (t) => {
  const { blockstore, image } = await publishLarge(t)
  const { store } = watched(blockstore, 100)
  const total = BigInt(await treeBytes(blockstore, image.cid))
  const statuses: LeaseStatus[] = []
  let lease: Lease | undefined
  const images = { publish: async () => image }
  const events = deploy(manifestWith([]), await world.offer(), publisher.options({ images, blockstore: store }))
  for await (const event of events) {
    if (event.step === 'provision') statuses.push(event.status)
    if (event.step === 'status') lease = event.lease
  }
  assert.ok(statuses.every(({ totalBytes }) => totalBytes === total))
  const fetching = statuses.filter(({ phase, fetchedBytes }) => phase === 'fetching' && fetchedBytes > 0n)
  assert.ok(fetching.length > 0 && fetching.some(({ fetchedBytes }) => fetchedBytes < total))
  assert.equal(statuses.at(-1)?.fetchedBytes, total)
  await stop(lease ?? assert.fail('no lease'))
})

test('a publisher that has paid may go: the rest comes from another source, through a kill -9, and no block twice', {
  timeout: 180_000,
}, async (t) => {
  const { blockstore, image } = await publishLarge(t)
  const [mine, theirs] = [watched(blockstore, 0), watched(blockstore, 150)]
  const other = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: ['/ip4/127.0.0.1/tcp/0'] })
  t.after(() => other.stop())
  await serveBlocks(other, { blockstore: theirs.store })
  const images = { publish: async () => image }
  const manifest = manifestWith(other.getMultiaddrs().map(String))
  const options = publisher.options({ images, blockstore: mine.store })
  for await (const event of deploy(manifest, await world.offer(), options)) {
    if (event.step === 'channel') mine.state.isGone = true
    if (event.step === 'provision' && theirs.state.asked.length > 0) break
  }
  for (const connection of publisher.node.getConnections()) connection.abort(new Error('the publisher goes'))
  const atKill = new Set(theirs.state.asked).size
  await world.killProvider()
  await world.startProvider()
  await runs()
  const { asked } = theirs.state
  assert.ok(atKill < new Set(asked).size, 'the kill came in the middle')
  assert.ok(asked.length - new Set(asked).size <= UNDER_WAY, `${asked.length} asked, ${new Set(asked).size} blocks`)
  const [lease] = [...publisher.leases.values()].filter(({ kind }) => kind === 'funded')
  await stop(lease ?? assert.fail('no lease'))
})

test('a publisher that is cut off in the middle and comes back gives the rest, and no block twice', {
  timeout: 180_000,
}, async (t) => {
  const { blockstore, image } = await publishLarge(t)
  const { store, state } = watched(blockstore, 150)
  const options = publisher.options({ images: { publish: async () => image }, blockstore: store })
  let lease: Lease | undefined
  for await (const event of deploy(manifestWith([]), await world.offer(), options)) {
    if (event.step === 'channel') lease = event.lease
    if (event.step === 'provision' && event.status.phase === 'fetching' && event.status.fetchedBytes > 0n) break
  }
  for (const connection of publisher.node.getConnections()) connection.abort(new Error('cut off'))
  const atCut = new Set(state.asked).size
  let running: Lease | undefined
  for await (const event of resumeLease(lease ?? assert.fail('no lease'), options))
    if (event.step === 'status') running = event.lease
  const { asked } = state
  assert.ok(atCut < new Set(asked).size, 'the cut came in the middle')
  // The root and what else is small is read here too, to be told how much there is: that is no block that was sent.
  assert.ok(asked.length - new Set(asked).size <= UNDER_WAY, `${asked.length} asked, ${new Set(asked).size} blocks`)
  await stop(running ?? assert.fail('it does not run'))
})

test('images that the provider would not take are told before anything is paid', async () => {
  const offer = await world.offer()
  await using peer = await dial(publisher.node, offer)
  const attested = await attest(peer, world.policy)
  const resources = manifestWith([]).containers[0]?.resources ?? []
  const ask = (imageBytes: bigint) =>
    requestQuote(
      attested,
      resources.map((each) => ({ $typeName: 'trustedpods.v0.Resource', ...each })),
      { ...paymentFor(offer, publisher.chain), imageBytes },
    )
  await assert.rejects(ask(8n * 2n ** 30n + 1n), {
    code: 'QUOTE_NO_CAPACITY',
    message: `the pod's images have ${8n * 2n ** 30n + 1n} bytes, this provider takes at most ${8n * 2n ** 30n}`,
    remote: true,
  })
  assert.equal((await ask(1000n)).quote.imageBytes, 1000n)
})
