/** A whole market in a temporary folder: chain, engine, a provider process, and publishers made on demand. All of it real. */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { findProgram } from '@trusted-pods/platform/engine/find-program.ts'
import { loadImage, saveImage } from '@trusted-pods/platform/engine/images.ts'
import { openEngine } from '@trusted-pods/platform/engine/open-engine.ts'
import { openDockerArchive } from '@trusted-pods/platform/engine-image-source.ts'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { nodeStreamCrypto } from '@trusted-pods/platform/stream-crypto.ts'
import { type Policy, parsePolicy } from '@trusted-pods/protocol/attestation/policy.ts'
import { type Chain, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { chainSource } from '@trusted-pods/protocol/registry/chain-source.ts'
import type { DeployOptions } from '@trusted-pods/publisher/deploy.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import { type ProviderOffer, toOffer } from '@trusted-pods/publisher/offer.ts'
import { createImagePublisher } from '@trusted-pods/publisher/publish-images.ts'
import { privateKeyToAccount } from 'viem/accounts'
import { parse } from 'yaml'
import { CHAIN_ID, type DemoChain, startDemoChain } from '../../demo/chain.ts'
import type { Child } from '../../demo/children.ts'
import { cleanUp } from '../../demo/clean-up.ts'
import { writeProviderConfig, writePublisherConfig } from '../../demo/configs.ts'
import { HELLO_IMAGES, helloImage } from '../../demo/hello-image.ts'
import { demoPlaces, type Places, quietLog } from '../../demo/places.ts'
import { type Ready, startProviderProcess } from '../../demo/provider-process.ts'
import { readHelloSecret } from './example.ts'

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

export interface World extends AsyncDisposable {
  readonly places: Places
  readonly demo: DemoChain
  readonly engine: Engine
  readonly policy: Policy
  ready: Ready
  provider: Child
  /** What the registry says of the provider. */
  offer(): Promise<ProviderOffer>
  /** Ends the provider at once, as a crash does. */
  killProvider(): Promise<void>
  startProvider(): Promise<void>
  /** The provider's log so far. */
  log(): Promise<string>
}

export interface WorldOptions {
  readonly allowPrivateSources?: boolean
}

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'trusted-pods-world-'))
  const places = demoPlaces(ROOT, folder)
  await mkdir(places.logs, { recursive: true })
  await mkdir(places.engine, { recursive: true })
  const demo = await startDemoChain(places)
  const engine = await openEngine({ stateDir: places.engine, log: quietLog })
  await loadHelloImages(engine)
  await writeProviderConfig(places, demo, { engineSocket: engine.socket, ...options })
  const { child, ready } = await startProviderProcess(places)
  await writePublisherConfig(places, demo, { engineSocket: engine.socket, simulatedRoot: ready.simulatedRoot })
  const policy = parsePolicy(parse(await readFile(join(dirname(places.publisherConfig), 'policy.yaml'), 'utf8')))
  const world: World = {
    places,
    demo,
    engine,
    policy,
    ready,
    provider: child,
    offer: () => readOffer(demo.chain),
    async killProvider() {
      process.kill(world.provider.pid, 'SIGKILL')
      await world.provider[Symbol.asyncDispose]()
    },
    async startProvider() {
      const { child, ready } = await startProviderProcess(places)
      Object.assign(world, { provider: child, ready })
    },
    log: () => readFile(join(places.logs, 'tpodserver.log'), 'utf8'),
    async [Symbol.asyncDispose]() {
      const left = await cleanUp(places, { step() {}, say() {}, waiting: (_, work) => work })
      await rm(folder, { recursive: true, force: true })
      if (left.length > 0) throw new Error(`left over: ${left.join(', ')}`)
    },
  }
  return world
}

async function loadHelloImages(engine: Engine): Promise<void> {
  const busybox = await findProgram('busybox')
  if (!busybox) throw new Error('busybox is missing: install the Debian package busybox-static')
  for (const name of HELLO_IMAGES) await loadImage(engine, await helloImage(name, { busybox }))
}

async function readOffer(chain: Chain): Promise<ProviderOffer> {
  for await (const row of chainSource(chain).providers()) if ('record' in row) return toOffer(row)
  throw new Error('the registry is empty')
}

export interface Publisher extends AsyncDisposable {
  readonly node: Libp2p
  readonly chain: Chain
  /** By id, as they were saved last. */
  readonly leases: Map<string, Lease>
  /** Options for deploy(); `secrets` is what examples/hello needs. */
  options(changes?: Partial<DeployOptions>): DeployOptions
}

/** A publisher with an identity of its own; all pay from one wallet. */
export async function startPublisher({ places, demo, engine, policy }: World): Promise<Publisher> {
  const folder = await mkdtemp(join(places.folder, 'publisher-'))
  const key = (await readFile(demo.publisher.keyFile, 'utf8')).trim() as `0x${string}`
  const { escrow, registry } = demo.chain
  const place = { chainId: CHAIN_ID, rpc: [demo.rpc], escrow, registry, token: demo.token }
  const chain = await connectChain(place, { account: privateKeyToAccount(key), pollingIntervalMs: 100 })
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  const blockstore = await openFileBlockstore(join(folder, 'blocks'))
  const openSource = async (name: string) =>
    openDockerArchive(await saveImage(engine, name), { name, tempDir: join(folder, 'tmp') })
  const leases = new Map<string, Lease>()
  const secrets = new Map([['secret.txt', await readHelloSecret()]])
  return {
    node,
    chain,
    leases,
    options: (changes = {}) => ({
      node,
      chain,
      policy,
      images: createImagePublisher({ openSource, blockstore, crypto: nodeStreamCrypto }),
      blockstore,
      secrets,
      leases: { save: async (lease) => void leases.set(lease.id, lease) },
      name: 'hello',
      deposit: { kind: 'hours', hours: 1 },
      confirm: async () => true,
      ...changes,
    }),
    async [Symbol.asyncDispose]() {
      await node.stop()
      await blockstore.close()
    },
  }
}
