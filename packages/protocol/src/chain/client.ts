/**
 * A connection to an EVM chain by JSON-RPC over HTTP, with the place of our contracts on it. An endpoint that does not answer is
 * "not known", never "no funds". Spec: spec/PAYMENT.md#chain.
 */
import {
  type Address,
  createPublicClient,
  defineChain,
  fallback,
  type Hex,
  http,
  type LocalAccount,
  type PublicClient,
} from 'viem'
import { TrustedPodsError } from '../errors.ts'
import { fromChain } from './chain-error.ts'
import { requireEscrowCode } from './escrow-code.ts'
import type { ExternalSigner } from './external-signer.ts'
import { guardedHttp, type Heads, RPC_TIMEOUT_MS } from './guarded-transport.ts'
import type { OutboxStore } from './outbox.ts'
import { createWallet, type Wallet } from './wallet.ts'

/** A chain and the endpoints through which it is reached, the first one preferred. */
export interface ChainEndpoints {
  readonly chainId: number
  /** http or https URLs. */
  readonly rpc: readonly string[]
  /** An endpoint whose newest block is older than this is not believed; for chains that make blocks all the time. */
  readonly maxHeadAgeSeconds?: number
}

export interface ChainConfig extends ChainEndpoints {
  readonly escrow: Address
  readonly registry: Address
  /** The token to pay in, where one is set. */
  readonly token?: Address
  /** Keccak-256 of the code of an escrow that this program was not built with, and that is accepted all the same. */
  readonly escrowCodeHash?: Hex
}

export interface ConnectOptions {
  /** Who sends transactions; without it the chain can only be read. */
  readonly account?: LocalAccount | ExternalSigner
  /** Where its transactions survive this process; without it they are known to this process alone. */
  readonly outbox?: OutboxStore
  /** A transaction that is not mined after this long offers more for gas. */
  readonly raiseFeeAfterMs?: number
  /** Most that one unit of gas may cost, wei; without it whatever the chain asks. */
  readonly maxFeePerGas?: bigint
  /** Blocks, its own one included, before a transaction counts. */
  readonly confirmations?: number
  /** How often an awaited transaction is asked for. */
  readonly pollingIntervalMs?: number
  readonly signal?: AbortSignal
}

/** A chain without our contracts: enough to deploy them. */
export interface ChainNode {
  readonly chainId: number
  readonly public: PublicClient
  readonly wallet: Wallet | undefined
  readonly confirmations: number
  readonly raiseFeeAfterMs: number
  readonly maxFeePerGas: bigint | undefined
}

/** A chain with our contracts. `channelId(terms, chain)` takes it as the escrow's place. */
export interface Chain extends ChainNode {
  readonly escrow: Address
  readonly registry: Address
  readonly token: Address | undefined
}

/** Rounds through all endpoints after the first, 150 and 300 ms later: a hiccup is bridged, an outage is told. */
const RPC_RETRIES = 2
/** One block is enough where a reorganisation costs less than the pod's first minutes; raise it for large deposits. */
export const DEFAULT_CONFIRMATIONS = 1
/** 1 s: an anvil or L2 block takes about as long. */
export const DEFAULT_POLLING_INTERVAL_MS = 1_000
/** Two to three 12-second blocks: a transaction that was priced well is in one of them. */
export const DEFAULT_RAISE_FEE_AFTER_MS = 30_000

/**
 * A chain whose id is right at every endpoint that answers, and that has code at both contract addresses.
 * @throws TrustedPodsError CHANNEL_WRONG_CHAIN or CHANNEL_RPC_UNAVAILABLE.
 */
export async function connectChain(config: ChainConfig, options: ConnectOptions = {}): Promise<Chain> {
  const node = await connectNode(config, options)
  const { escrow, registry, token } = config
  const [code] = await Promise.all([requireCode(node, escrow, 'escrow'), requireCode(node, registry, 'registry')])
  await requireEscrowCode(node, escrow, { code, ...(config.escrowCodeHash && { allowed: [config.escrowCodeHash] }) })
  return { ...node, escrow, registry, token }
}

/** A chain whose id is right; our contracts need not be there. Same errors as connectChain. */
export async function connectNode(endpoints: ChainEndpoints, options: ConnectOptions = {}): Promise<ChainNode> {
  options.signal?.throwIfAborted()
  const { chainId, rpc } = endpoints
  await checkChainIds(endpoints)
  const chain = defineChain({
    id: chainId,
    name: `chain ${chainId}`,
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [...rpc] } },
  })
  const client: PublicClient = createPublicClient({
    chain,
    transport: fallback(guardedTransports(endpoints), { retryCount: RPC_RETRIES }),
    pollingInterval: options.pollingIntervalMs ?? DEFAULT_POLLING_INTERVAL_MS,
    // A cached head would hide the block that a transaction has just made.
    cacheTime: 0,
  })
  return {
    chainId,
    public: client,
    wallet: options.account && createWallet(options.account, options.outbox),
    confirmations: options.confirmations ?? DEFAULT_CONFIRMATIONS,
    raiseFeeAfterMs: options.raiseFeeAfterMs ?? DEFAULT_RAISE_FEE_AFTER_MS,
    maxFeePerGas: options.maxFeePerGas,
  }
}

/** @throws TrustedPodsError CHANNEL_WALLET when the chain was connected without an account. */
export function requireWallet(node: ChainNode): Wallet {
  if (node.wallet === undefined)
    throw new TrustedPodsError('CHANNEL_WALLET', 'no account is set: this needs one that can sign')
  return node.wallet
}

/** Without a count of retries of their own, which would multiply with that of the fallback around them. */
function guardedTransports({ chainId, rpc, maxHeadAgeSeconds }: ChainEndpoints) {
  const heads: Heads = new Map()
  const maxHeadAgeMs = maxHeadAgeSeconds === undefined ? undefined : maxHeadAgeSeconds * 1000
  return rpc.map((url) => guardedHttp(url, { chainId, host: hostOf(url), heads, maxHeadAgeMs }))
}

/** Asks every endpoint, so that the second of a list cannot lead to another chain on the day that the first one fails. */
async function checkChainIds({ chainId, rpc }: ChainEndpoints): Promise<void> {
  const hosts = rpc.map(hostOf)
  if (hosts.length === 0) throw new TrustedPodsError('CHANNEL_WRONG_CHAIN', 'no RPC URL is given, wanted at least one')
  const answers = await Promise.allSettled(
    rpc.map((url) =>
      createPublicClient({
        transport: fallback([http(url, { timeout: RPC_TIMEOUT_MS })], { retryCount: RPC_RETRIES }),
      }).getChainId(),
    ),
  )
  for (const [i, answer] of answers.entries()) {
    if (answer.status === 'fulfilled' && answer.value !== chainId) {
      throw new TrustedPodsError('CHANNEL_WRONG_CHAIN', `${hosts[i]} is chain ${answer.value}, wanted ${chainId}`)
    }
  }
  if (answers.every((answer) => answer.status === 'rejected')) {
    throw new TrustedPodsError('CHANNEL_RPC_UNAVAILABLE', `no RPC endpoint answers: ${hosts.join(', ')}`)
  }
}

/** Host and port only: paths and user parts of RPC URLs often hold a key. */
function hostOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') {
    throw new TrustedPodsError('CHANNEL_WRONG_CHAIN', 'an RPC URL is not an http or https URL')
  }
  return parsed.host
}

async function requireCode(node: ChainNode, address: Address, what: string): Promise<Hex> {
  const code = await fromChain(`reading the ${what} contract`, node.public.getCode({ address }))
  if (code !== undefined && code !== '0x') return code
  throw new TrustedPodsError(
    'CHANNEL_WRONG_CHAIN',
    `there is no ${what} contract at ${address} on chain ${node.chainId}`,
  )
}
