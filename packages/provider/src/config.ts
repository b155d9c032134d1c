/** The provider's configuration file: every key known, every value checked. Spec: docs/run-a-provider.md#configuration. */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type ChainGuards, readChainGuards } from '@trusted-pods/platform/chain-guards.ts'
import { type ConfigSection, parseConfigFile } from '@trusted-pods/platform/config-section.ts'
import { readWalletSource, type WalletSource } from '@trusted-pods/platform/wallet-source.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { parseQuantity } from '@trusted-pods/protocol/manifest/quantity.ts'
import type { ResourceAmount } from '@trusted-pods/protocol/pricing/price.ts'
import { ANY_SELECTOR } from '@trusted-pods/protocol/pricing/price-list.ts'
import type { Address } from 'viem'
import { ENDORSEMENT_URLS } from './attester/endorsements/endorsements.ts'
import type { EndorsementUrls } from './attester/endorsements/stapled.ts'
import { ATTESTER_KINDS, type AttesterKind } from './attester/open-attester.ts'
import { readGpus } from './config-gpus.ts'
import { type Device, GPU } from './devices.ts'
import { type ImagePlaces, readImagePlaces } from './image-config.ts'

export interface ProviderConfig {
  /** Keys, journal, blocks, embedded engine. */
  readonly stateDir: string
  /** libp2p multiaddrs. */
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  readonly region: string
  readonly http: { readonly host: string; readonly port: number; readonly hosts: readonly string[] }
  /** Host ports that pods may publish. */
  readonly ports: PortRange
  /** Without `nft` pods reach the machine and its network: `required` refuses to start then. */
  readonly firewall: 'required' | 'none'
  /** Socket of the container engine; absent: found, or embedded. */
  readonly engineSocket?: string
  readonly attester: AttesterKind
  /** Where certificates, revocation lists and collateral are fetched. */
  readonly endorsements: EndorsementUrls
  readonly chain: ChainPlace
  readonly wallet: WalletSource
  /** Takes part in the DHT of providers; absent: found in the chain's registry only. */
  readonly dht?: { readonly bootstrap: readonly string[] }
  /** Price list, YAML. */
  readonly pricesFile: string
  /** Quantities offered, by resource name and model or class. */
  readonly capacity: readonly ResourceAmount[]
  readonly images: ImagePlaces
  /** Offered one by one. */
  readonly gpus: readonly Device[]
  readonly terms: Terms
}

export interface PortRange {
  readonly from: number
  readonly to: number
}

export interface ChainPlace extends ChainGuards {
  readonly chainId: number
  readonly rpc: readonly string[]
  readonly escrow: Address
  readonly registry: Address
  /** What prices are in where the list does not say. */
  readonly token?: Address
}

export interface Terms {
  readonly quoteSeconds: number
  readonly minRuntimeMinutes: number
  readonly minUnlockDelaySeconds: number
  readonly receiptSeconds: number
  readonly reviewSeconds: number
  /** Base units. */
  readonly claimAtLeast: bigint
  /** Base units of the token for one coin of the chain (10^18 wei): what gas is worth. */
  readonly coinPrice?: bigint
  /** Most of a claim that its gas may cost. */
  readonly gasPercent: bigint
  readonly claimEverySeconds: number
  /** Most gas, in 10^-9 of the chain's coin, that deposits of payers without gas may cost in 24 hours; 0: none is sent. */
  readonly relayGweiPerDay: number
  readonly fundsGraceSeconds: number
  readonly keepDataSeconds: number
  readonly reorgPatienceSeconds: number
  readonly finalitySeconds: number
  /** Base units. */
  readonly riskTolerance: bigint
  readonly publisherGraceSeconds: number
  readonly startLimitMinutes: number
  readonly maxImageBytes: number
  readonly maxUnpackedBytes: number
  /** Of images, as fetched, that no pod needs any more. */
  readonly coldImageBytes: number
  /** Free space of the state folder's disk below which no pod is admitted. */
  readonly diskReserveBytes: number
}

const DAY_SECONDS = 24 * 3600
const GIB = 1024 ** 3
/** A hundredth of a coin: on a rollup some hundred pods a day, on a dear chain none. */
const DEFAULT_RELAY_GWEI = 10_000_000

/** @throws TrustedPodsError PLATFORM_CONFIG naming the file and the key. */
export async function loadProviderConfig(path: string): Promise<ProviderConfig> {
  try {
    return parseProviderConfig(await readFile(path, 'utf8'), resolve(path))
  } catch (cause) {
    if (cause instanceof TrustedPodsError) throw cause
    throw new TrustedPodsError(
      'PLATFORM_CONFIG',
      `${path} cannot be read: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    )
  }
}

/** Paths in the file are taken from its folder. */
export function parseProviderConfig(text: string, path: string): ProviderConfig {
  const root = parseConfigFile(text, path)
  root.only(
    'stateDir',
    'listen',
    'announce',
    'region',
    'http',
    'ports',
    'firewall',
    'engine',
    'attester',
    'endorsements',
    'chain',
    'wallet',
    'dht',
    'prices',
    'capacity',
    'images',
    'gpus',
    'terms',
  )
  const folder = dirname(path)
  const engineSocket = root.optionalText('engine')
  const dht = root.section('dht')
  dht?.only('bootstrap')
  return {
    stateDir: resolve(folder, root.text('stateDir')),
    listen: root.texts('listen'),
    announce: root.texts('announce'),
    region: root.optionalText('region') ?? '',
    http: readHttp(root),
    ports: readPorts(root),
    firewall: readFirewall(root),
    ...(engineSocket && { engineSocket: engineSocket.replace(/^unix:\/\//, '') }),
    attester: readAttester(root),
    endorsements: readEndorsementUrls(root),
    chain: readChain(required(root, 'chain')),
    wallet: readWalletSource(required(root, 'wallet'), folder),
    ...(dht && { dht: { bootstrap: dht.texts('bootstrap') } }),
    pricesFile: resolve(folder, root.text('prices')),
    capacity: readCapacity(required(root, 'capacity')),
    images: readImagePlaces(root),
    gpus: readGpus(root),
    terms: readTerms(root),
  }
}

function required(root: ConfigSection, key: string): ConfigSection {
  return root.section(key) ?? root.fail(key, 'is missing')
}

function readHttp(root: ConfigSection): ProviderConfig['http'] {
  const http = required(root, 'http')
  http.only('host', 'port', 'hosts')
  return {
    host: http.text('host'),
    port: http.integer('port', { min: 0, max: 65_535, fallback: 0 }),
    hosts: http.texts('hosts'),
  }
}

function readFirewall(root: ConfigSection): ProviderConfig['firewall'] {
  const firewall = root.optionalText('firewall') ?? 'required'
  if (firewall === 'required' || firewall === 'none') return firewall
  return root.fail('firewall', 'must be required, or none where pods may reach this machine and its network')
}

/** Not below 1024 by default: those are the machine's own. */
function readPorts(root: ConfigSection): PortRange {
  const ports = root.section('ports')
  ports?.only('from', 'to')
  const bounds = { min: 1, max: 65_535 }
  const from = ports?.integer('from', { ...bounds, fallback: 1024 }) ?? 1024
  const to = ports?.integer('to', { ...bounds, fallback: 65_535 }) ?? 65_535
  return from <= to ? { from, to } : root.fail('ports', 'must go from a lower port to a higher one')
}

/** Never by default: a provider that simulates says so in its own file. */
function readAttester(root: ConfigSection): ProviderConfig['attester'] {
  const attester = root.text('attester')
  const kind = ATTESTER_KINDS.find((known) => known === attester)
  return kind ?? root.fail('attester', 'must be configfs-tsm, or simulated or simulated-tdx for trying things out')
}

/** The makers' own services, or mirrors of them in their place. */
function readEndorsementUrls(root: ConfigSection): EndorsementUrls {
  const section = root.section('endorsements')
  if (section === undefined) return ENDORSEMENT_URLS
  section.only('kds', 'pcs', 'intelRootCrl')
  const url = (key: keyof EndorsementUrls) => {
    const text = section.optionalText(key)
    if (text === undefined) return ENDORSEMENT_URLS[key]
    if (!/^https?:/.test(text) || !URL.canParse(text)) return section.fail(key, 'must be an http or https URL')
    return text.replace(/\/+$/, '')
  }
  return { kds: url('kds'), pcs: url('pcs'), intelRootCrl: url('intelRootCrl') }
}

function readChain(chain: ConfigSection): ChainPlace {
  chain.only('id', 'rpc', 'maxHeadAgeSeconds', 'escrow', 'escrowCodeHash', 'registry', 'token')
  const token = chain.optionalAddress('token')
  return {
    chainId: Number(chain.chainId('id')),
    rpc: chain.urls('rpc'),
    escrow: chain.address('escrow'),
    registry: chain.address('registry'),
    ...(token && { token }),
    ...readChainGuards(chain),
  }
}

/** A quantity, or quantities by model or class as in a price list. */
function readCapacity(section: ConfigSection): ResourceAmount[] {
  if (section.value(GPU) !== undefined) section.fail(GPU, 'are offered one by one: name each under gpus')
  return section.keys().flatMap((name) => {
    const unit = name === 'cpu' ? 'milli' : 'one'
    if (typeof section.value(name) !== 'object')
      return { name, selector: '', quantity: readQuantity(section, name, unit) }
    const models = section.section(name) ?? section.fail(name, 'is missing')
    return models.keys().map((key) => ({
      name,
      selector: key === ANY_SELECTOR ? '' : key,
      quantity: readQuantity(models, key, unit),
    }))
  })
}

function readQuantity(section: ConfigSection, key: string, unit: 'milli' | 'one'): bigint {
  try {
    return parseQuantity(section.scalar(key) ?? section.fail(key, 'is missing'), { unit })
  } catch (error) {
    return section.fail(key, `is no quantity: ${error instanceof Error ? error.message : error}`)
  }
}

function readTerms(root: ConfigSection): Terms {
  const terms = root.section('terms')
  terms?.only(
    'quoteSeconds',
    'minRuntimeMinutes',
    'minUnlockDelaySeconds',
    'receiptSeconds',
    'reviewSeconds',
    'claimAtLeast',
    'coinPrice',
    'gasPercent',
    'claimEverySeconds',
    'relayGweiPerDay',
    'fundsGraceSeconds',
    'keepDataSeconds',
    'reorgPatienceSeconds',
    'finalitySeconds',
    'riskTolerance',
    'publisherGraceSeconds',
    'startLimitMinutes',
    'maxImageBytes',
    'maxUnpackedBytes',
    'coldImageBytes',
    'diskReserveBytes',
  )
  const integer = (key: string, fallback: number, max: number, min = 1) =>
    terms?.integer(key, { min, max, fallback }) ?? fallback
  const coinPrice = integer('coinPrice', 0, Number.MAX_SAFE_INTEGER, 0)
  return {
    quoteSeconds: integer('quoteSeconds', 300, 3600),
    minRuntimeMinutes: integer('minRuntimeMinutes', 60, 60 * 24 * 30),
    minUnlockDelaySeconds: integer('minUnlockDelaySeconds', 6 * 3600, 30 * DAY_SECONDS, 15 * 60),
    receiptSeconds: integer('receiptSeconds', 10, 3600),
    reviewSeconds: integer('reviewSeconds', 30, 120),
    claimAtLeast: BigInt(integer('claimAtLeast', 100_000, Number.MAX_SAFE_INTEGER)),
    ...(coinPrice > 0 && { coinPrice: BigInt(coinPrice) }),
    gasPercent: BigInt(integer('gasPercent', 5, 100)),
    claimEverySeconds: integer('claimEverySeconds', DAY_SECONDS, 30 * DAY_SECONDS, 60),
    relayGweiPerDay: integer('relayGweiPerDay', DEFAULT_RELAY_GWEI, Number.MAX_SAFE_INTEGER, 0),
    keepDataSeconds: integer('keepDataSeconds', 3 * DAY_SECONDS, 365 * DAY_SECONDS, 0),
    reorgPatienceSeconds: integer('reorgPatienceSeconds', 3600, 30 * DAY_SECONDS),
    finalitySeconds: integer('finalitySeconds', 900, 30 * DAY_SECONDS, 0),
    riskTolerance: BigInt(integer('riskTolerance', 1_000_000, Number.MAX_SAFE_INTEGER, 0)),
    fundsGraceSeconds: integer('fundsGraceSeconds', 600, 30 * DAY_SECONDS, 0),
    startLimitMinutes: integer('startLimitMinutes', 60, 24 * 60),
    publisherGraceSeconds: integer('publisherGraceSeconds', 300, DAY_SECONDS),
    maxImageBytes: integer('maxImageBytes', 8 * GIB, Number.MAX_SAFE_INTEGER),
    maxUnpackedBytes: integer('maxUnpackedBytes', 24 * GIB, Number.MAX_SAFE_INTEGER),
    coldImageBytes: integer('coldImageBytes', 8 * GIB, Number.MAX_SAFE_INTEGER, 0),
    diskReserveBytes: integer('diskReserveBytes', 2 * GIB, Number.MAX_SAFE_INTEGER, 0),
  }
}
