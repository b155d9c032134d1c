/** The configuration file: YAML, every key known, every value checked, paths taken from the file's folder. Spec: docs/cli.md#configuration. */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type ChainGuards, readChainGuards } from '@trusted-pods/platform/chain-guards.ts'
import { type ConfigSection, parseConfigFile } from '@trusted-pods/platform/config-section.ts'
import { hasCode } from '@trusted-pods/platform/error-code.ts'
import { readWalletSource, type WalletSource } from '@trusted-pods/platform/wallet-source.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Address } from 'viem'
import { ONLY_TELL, REACTIONS, type Reactions } from './reactions.ts'

export interface ChainConfig extends ChainGuards {
  /** EVM chain id. */
  readonly id: bigint
  /** Tried in this order; at least one. */
  readonly rpc: readonly string[]
  readonly escrow: Address
  readonly registry: Address
  /** ERC-20 that is paid with. */
  readonly token: Address
}

/** Signed records in a file or at a URL, or the DHT that these peers lead into. */
export type RegistryPlaceConfig =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'dht'; readonly bootstrap: readonly string[] }

/** A policy in a file of its own, or written in place. */
export type PolicyConfig =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'inline'; readonly value: object }

export interface Config {
  /** The file that it was read from. */
  readonly path: string
  readonly isMissing?: true
  readonly chain?: ChainConfig
  readonly wallet?: WalletSource
  readonly policy?: PolicyConfig
  /** What happens to running pods whose provider proves itself no longer. */
  readonly running?: Reactions
  /** Container engine: unix:///path, or a path. */
  readonly engine?: string
  /** Where providers are found; absent: in the chain's registry. */
  readonly registry?: RegistryPlaceConfig
  /** Trustless IPFS gateways that are asked for records which the chain does not give out. */
  readonly registryGateways?: readonly string[]
  /** Image registries that are asked without TLS: host, or host:port. */
  readonly plainHttpRegistries?: readonly string[]
  /** RPC address of the IPFS node that keeps image blocks; absent: a folder of ours does. */
  readonly ipfsApi?: string
  /** File with what that node wants to be shown. */
  readonly ipfsApiAuthFile?: string
}

/** A file that is not there is an empty one: commands say what they miss. */
export async function loadConfig(path: string): Promise<Config> {
  try {
    return parseConfig(await readFile(path, 'utf8'), path)
  } catch (cause) {
    if (cause instanceof TrustedPodsError) throw cause
    if (hasCode(cause, 'ENOENT')) return { path, isMissing: true }
    throw new TrustedPodsError('PLATFORM_CONFIG', `${path} cannot be read`, { cause })
  }
}

/** @throws TrustedPodsError PLATFORM_CONFIG naming the file and the key. */
export function parseConfig(text: string, path: string): Config {
  const root = parseConfigFile(text, path)
  root.only(
    'chain',
    'wallet',
    'policy',
    'running',
    'engine',
    'registryFile',
    'registryUrl',
    'registryPeers',
    'registryGateways',
    'plainHttpRegistries',
    'ipfsApi',
    'ipfsApiAuthFile',
  )
  const folder = dirname(path)
  const chain = root.section('chain')
  const wallet = root.section('wallet')
  const policy = readPolicy(root, folder)
  const running = root.section('running')
  const engine = root.optionalText('engine')
  const registry = readRegistry(root, folder)
  const plainHttpRegistries = readHosts(root)
  const ipfsApi = readIpfsApi(root)
  const ipfsApiAuthFile = root.optionalText('ipfsApiAuthFile')
  const registryGateways = root.value('registryGateways') === undefined ? undefined : root.urls('registryGateways')
  return {
    path,
    ...(chain && { chain: readChain(chain) }),
    ...(wallet && { wallet: readWalletSource(wallet, folder) }),
    ...(policy && { policy }),
    ...(running && { running: readReactions(running) }),
    ...(engine !== undefined && { engine }),
    ...(registry && { registry }),
    ...(registryGateways && { registryGateways }),
    ...(plainHttpRegistries && { plainHttpRegistries }),
    ...(ipfsApi !== undefined && { ipfsApi }),
    ...(ipfsApiAuthFile !== undefined && { ipfsApiAuthFile: resolve(folder, ipfsApiAuthFile) }),
  }
}

/** A part of the configuration that a command cannot do without.
 * @throws TrustedPodsError PLATFORM_CONFIG */
export function required<K extends 'chain' | 'wallet' | 'policy'>(config: Config, key: K): NonNullable<Config[K]> {
  const value = config[key]
  if (value !== undefined) return value
  const seen = config.isMissing ? `there is no configuration ${config.path}` : `${config.path} does not set ${key}`
  throw new TrustedPodsError('PLATFORM_CONFIG', `${seen}; this command needs its ${key}: docs/cli.md#configuration`)
}

function readChain(section: ConfigSection): ChainConfig {
  section.only('id', 'rpc', 'maxHeadAgeSeconds', 'escrow', 'escrowCodeHash', 'registry', 'token')
  return {
    id: section.chainId('id'),
    rpc: section.urls('rpc'),
    escrow: section.address('escrow'),
    registry: section.address('registry'),
    token: section.address('token'),
    ...readChainGuards(section),
  }
}

function readReactions(section: ConfigSection): Reactions {
  section.only('refused', 'expired')
  const read = (key: keyof Reactions) => {
    const text = section.optionalText(key) ?? ONLY_TELL[key]
    return REACTIONS.find((known) => known === text) ?? section.fail(key, `must be ${REACTIONS.join(' or ')}`)
  }
  return { refused: read('refused'), expired: read('expired') }
}

function readRegistry(root: ConfigSection, folder: string): RegistryPlaceConfig | undefined {
  const file = root.optionalText('registryFile')
  const url = root.optionalText('registryUrl')
  const bootstrap = root.texts('registryPeers')
  if (Number(file !== undefined) + Number(url !== undefined) + Number(bootstrap.length > 0) > 1)
    root.fail('registryFile, registryUrl and registryPeers', 'are three places: name one')
  if (file !== undefined) return { kind: 'file', path: resolve(folder, file) }
  if (bootstrap.length > 0) return { kind: 'dht', bootstrap }
  if (url === undefined) return undefined
  if (!/^https?:/.test(url) || !URL.canParse(url)) root.fail('registryUrl', 'must be an http or https URL')
  return { kind: 'url', url }
}

function readHosts(root: ConfigSection): readonly string[] | undefined {
  const value = root.value('plainHttpRegistries')
  if (value === undefined) return undefined
  if (Array.isArray(value) && value.every((host) => typeof host === 'string' && /^[\w.-]+(:\d{1,5})?$/.test(host)))
    return value
  return root.fail('plainHttpRegistries', 'must be a list of host or host:port')
}

function readIpfsApi(root: ConfigSection): string | undefined {
  const url = root.optionalText('ipfsApi')
  if (url === undefined || (/^https?:\/\/[^@]+$/.test(url) && URL.canParse(url))) return url
  return root.fail('ipfsApi', 'must be an http or https URL without a password, as http://127.0.0.1:5001')
}

function readPolicy(root: ConfigSection, folder: string): PolicyConfig | undefined {
  const value = root.value('policy')
  if (value === undefined) return undefined
  if (typeof value === 'string' && value !== '') return { kind: 'file', path: resolve(folder, value) }
  if (typeof value === 'object' && value !== null) return { kind: 'inline', value }
  return root.fail('policy', 'must be the path of a policy file or a policy')
}
