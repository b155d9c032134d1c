/** One side of one measurement, in a process of its own, so that its memory and CPU are its own: role.ts ROLE FOLDER [ARGUMENT]. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { releaseBlock } from '@trusted-pods/platform/arrived-blocks.ts'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { openImageCache } from '@trusted-pods/platform/image-cache.ts'
import { openTreeBlobs } from '@trusted-pods/platform/images/tree-blobs.ts'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { fetchTree, serveBlocks } from '@trusted-pods/protocol/image/blocks.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import { publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { dial } from '@trusted-pods/publisher/dial.ts'
import { createImagePublisher } from '@trusted-pods/publisher/publish-images.ts'
import { layerFiles, openImageSource } from './image.ts'

const MIB = 1024 * 1024
const LIMIT = 2 ** 40

const [role = '', folder = '', argument = ''] = process.argv.slice(2)
const began = performance.now()

/** What the parent reads: one line, the last. */
function report(bytes: number, more: object = {}, since = began): void {
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage()
  const seconds = (performance.now() - since) / 1000
  const cpuSeconds = (userCPUTime + systemCPUTime) / 1e6
  process.stdout.write(`${JSON.stringify({ bytes, seconds, cpuSeconds, rssMiB: maxRSS / 1024, ...more })}\n`)
}

const published = async () => {
  const { cid, privateKey } = JSON.parse(await readFile(join(folder, 'published.json'), 'utf8'))
  return { cid: Buffer.from(cid, 'hex'), privateKey: Buffer.from(privateKey, 'hex') }
}

const roles: Record<string, () => Promise<void>> = {
  /** ARGUMENT: the layout. */
  async encrypt() {
    const blockstore = await openFileBlockstore(join(folder, 'blocks'))
    const source = await openImageSource(argument)
    const image = await publishImage(source, { blockstore, crypto })
    const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
    await writeFile(
      join(folder, 'published.json'),
      JSON.stringify({ cid: hex(image.cid), privateKey: hex(image.privateKey) }),
    )
    report(image.bytes)
  },

  /** ARGUMENT: the layout. The second publication of an image that did not change, in a process that knows nothing of the first. */
  async republish() {
    const cache = await openImageCache(join(folder, 'cache'))
    const publisher = createImagePublisher({
      openSource: () => openImageSource(argument),
      identify: async () => argument,
      blockstore: cache.blockstore,
      crypto,
      cache,
      images: cache,
    })
    const since = performance.now()
    const { bytes } = await publisher.publish(argument, {})
    report(bytes, {}, since)
  },

  async open() {
    const blockstore = await openFileBlockstore(join(folder, 'blocks'))
    const limits = { encryptedBytes: LIMIT, unpackedBytes: LIMIT }
    const image = await openImage(blockstore, { ...(await published()), crypto, limits })
    report(image.layers.reduce((sum, { size }) => sum + size, 0))
  },

  /** ARGUMENT: the layout, of which each blob goes onto the blockstore as it is. */
  async store() {
    const blockstore = await openFileBlockstore(join(folder, 'stored'))
    const blobs = openTreeBlobs(blockstore)
    let bytes = 0
    for (const file of await layerFiles(argument)) {
      const content = createReadStream(file, { highWaterMark: MIB })
      const { size } = await blobs.put(content, { digest: () => 'known' })
      bytes += size
    }
    report(bytes)
  },

  /** Waits for the publisher, then pulls. */
  async provider() {
    const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: ['/ip4/127.0.0.1/tcp/0'] })
    const opened = Promise.withResolvers<Parameters<typeof fetchTree>[0]>()
    node.addEventListener('connection:open', ({ detail }) => opened.resolve(detail), { once: true })
    const [address] = node.getMultiaddrs()
    process.stdout.write(`${address}\n`)
    const connection = await opened.promise
    const blockstore = await openFileBlockstore(join(folder, 'fetched'))
    const since = performance.now()
    const { bytes } = await fetchTree(connection, {
      ...(await published()),
      blockstore,
      maxBytes: LIMIT,
      onStored: releaseBlock,
    })
    report(bytes, {}, since)
    await node.stop()
  },

  /** ARGUMENT: the provider's address. Serves until the provider goes. */
  async publisher() {
    const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
    await serveBlocks(node, { blockstore: await openFileBlockstore(join(folder, 'blocks')) })
    const gone = Promise.withResolvers<void>()
    node.addEventListener('connection:close', () => gone.resolve(), { once: true })
    const peerId = argument.split('/').at(-1) ?? ''
    await dial(node, { peerId, multiaddrs: [argument] })
    await gone.promise
    report(0)
    await node.stop()
  },

  /** A plain copy: SHA-256 of what arrives, nothing else. */
  async 'tcp-receiver'() {
    const done = Promise.withResolvers<void>()
    const receive = async (socket: AsyncIterable<Uint8Array>) => {
      const since = performance.now()
      const hash = createHash('sha256')
      let bytes = 0
      for await (const chunk of socket) {
        hash.update(chunk)
        bytes += chunk.length
      }
      report(bytes, { sha256: hash.digest('hex') }, since)
    }
    const server = createServer((socket) => void receive(socket).then(done.resolve, done.reject))
    server.listen(0, '127.0.0.1', () => process.stdout.write(`${JSON.stringify(server.address())}\n`))
    await done.promise
    server.close()
  },

  /** ARGUMENT: host:port. */
  async 'tcp-sender'() {
    const [host = '', port = ''] = argument.split(':')
    const socket = connect(Number(port), host)
    for (const file of await layerFiles(folder))
      await pipeline(createReadStream(file, { highWaterMark: MIB }), socket, { end: false })
    socket.end()
    report(0)
  },
}

await roles[role]?.()
