/** The configuration files of the demo: what a provider and a publisher would write by hand. */
import { once } from 'node:events'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { CHAIN_ID, type DemoChain } from './chain.ts'
import type { Places } from './places.ts'

/** Quick receipts and claims, so that there is something to see; the defaults are slower. */
const TERMS =
  '{receiptSeconds: 1, reviewSeconds: 2, claimAtLeast: 10, minRuntimeMinutes: 10, minUnlockDelaySeconds: 3600}'
/** Stands for the fingerprint in the example policy. */
const NO_FINGERPRINT = '0'.repeat(64)

export interface ProviderConfigOptions {
  readonly engineSocket: string
  /** Whether manifests may name sources of blocks on this machine. */
  readonly allowPrivateSources?: boolean
}

export async function writeProviderConfig(
  places: Places,
  demo: DemoChain,
  { engineSocket, allowPrivateSources = false }: ProviderConfigOptions,
): Promise<void> {
  const folder = dirname(places.providerConfig)
  await mkdir(folder, { recursive: true })
  await copyFile(join(places.root, 'examples/provider/prices.yaml'), join(folder, 'prices.yaml'))
  await writeFile(
    places.providerConfig,
    `stateDir: state
listen: [/ip4/127.0.0.1/tcp/${await freePort()}]
region: DE/demo
http: {host: 127.0.0.1, port: ${await freePort()}, hosts: ["*.localhost"]}
engine: ${engineSocket}
attester: simulated
chain: ${chainLine(demo)}
wallet: {keyFile: ${demo.provider.keyFile}}
prices: prices.yaml
capacity: {cpu: 1500m, memory: 2Gi, storage: 4Gi, trustedpods/port: 16}
images: {allowPrivateSources: ${allowPrivateSources}}
terms: ${TERMS}
`,
  )
}

export interface PublisherConfigOptions {
  readonly engineSocket: string
  /** SHA-256 of the provider's development root, hex. */
  readonly simulatedRoot: string
}

export async function writePublisherConfig(
  places: Places,
  demo: DemoChain,
  options: PublisherConfigOptions,
): Promise<void> {
  const folder = dirname(places.publisherConfig)
  await mkdir(folder, { recursive: true })
  const policy = await readFile(join(places.root, 'examples/policy-simulated.yml'), 'utf8')
  await writeFile(join(folder, 'policy.yaml'), policy.replace(`'${NO_FINGERPRINT}'`, `'${options.simulatedRoot}'`))
  await writeFile(
    places.publisherConfig,
    `chain: ${chainLine(demo)}
wallet: {keyFile: ${demo.publisher.keyFile}}
engine: ${options.engineSocket}
policy: policy.yaml
`,
  )
}

/** A port of its own, so that a provider that is started again is found where it was. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}

function chainLine({ rpc, chain, token }: DemoChain): string {
  return `{id: ${CHAIN_ID}, rpc: ["${rpc}"], escrow: "${chain.escrow}", registry: "${chain.registry}", token: "${token}"}`
}
