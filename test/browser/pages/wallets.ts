/** A page with two wallets in it, and our side of EIP-6963 and EIP-1193 as a web publisher uses it. */
import { type ChainConfig, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { openChannel, readChannel } from '@trusted-pods/protocol/chain/escrow.ts'
import { type ChannelTerms, channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type ConnectedWallet, connectWallet } from '@trusted-pods/publisher/browser-wallet/connect.ts'
import { discoverWallets, findWallet } from '@trusted-pods/publisher/browser-wallet/discover.ts'
import type { Address } from 'viem'
import { announce, TestWallet } from './test-wallets.ts'

interface Setup {
  readonly config: ChainConfig
  readonly accounts: readonly [Address, Address]
}

const UUID = '350670db-19fa-4704-a166-e52e178b59d'
const ICON = 'data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg"/>'
const DISCOVERY_MS = 300

let setup: Setup
let fox: TestWallet
let owl: TestWallet
let connected: ConnectedWallet | undefined

/** The fox is there before the page asks, the owl comes later. */
function begin(given: Setup): void {
  setup = given
  const [rpc = ''] = given.config.rpc
  fox = new TestWallet(rpc, [given.accounts[0]])
  owl = new TestWallet(rpc, [given.accounts[1], given.accounts[0]])
  announce({ info: { uuid: `${UUID}2`, name: 'Fox', icon: ICON, rdns: 'org.example.fox' }, provider: fox })
}

async function discover(): Promise<unknown[]> {
  const found: unknown[] = []
  const late = { info: { uuid: `${UUID}3`, name: 'Owl', icon: ICON, rdns: 'org.example.owl' }, provider: owl }
  setTimeout(() => announce(late), DISCOVERY_MS / 3)
  for await (const { provider, ...said } of discoverWallets({ signal: AbortSignal.timeout(DISCOVERY_MS) }))
    found.push({ ...said, isFox: provider === fox, isOwl: provider === owl })
  return found
}

/** Everything that a hostile script can announce. */
function pollute(): void {
  const provider = new TestWallet('', [])
  const info = (changes: object) => ({
    uuid: crypto.randomUUID(),
    name: 'Bad',
    icon: ICON,
    rdns: 'org.example.bad',
    ...changes,
  })
  announce({ info: info({ uuid: `${UUID}2`, name: 'Fox', rdns: 'org.example.fox' }), provider })
  announce({ info: info({ uuid: '1' }), provider })
  announce({ info: info({ rdns: 'javascript:alert(1)' }), provider })
  announce({ info: info({}), provider: { request: 'no function' } })
  announce({ info: null, provider })
  announce({
    get info(): unknown {
      throw new Error('a trap')
    },
    provider,
  })
  const name = `<img src=x onerror="document.title='owned'">\n\u202e${'long '.repeat(100_000)}`
  announce({ info: info({ name, icon: 'javascript:alert(1)' }), provider })
  announce({ info: info({ name: ' ', icon: `data:image/png,${'A'.repeat(1_000_000)}` }), provider })
}

function flood(): void {
  for (let i = 0; i < 1_000; i++)
    announce(
      { info: { uuid: crypto.randomUUID(), name: `${i}`, icon: ICON, rdns: 'org.example.flood' }, provider: fox },
      { onRequest: false },
    )
}

async function countAll(): Promise<number> {
  let count = 0
  setTimeout(flood, 10)
  for await (const _ of discoverWallets({ signal: AbortSignal.timeout(DISCOVERY_MS) })) count++
  return count
}

const find = (rdns: string) => findWallet(rdns, { signal: AbortSignal.timeout(DISCOVERY_MS) })

async function connect(rdns: string, { account, canAdd = true }: { account?: Address; canAdd?: boolean } = {}) {
  const { chainId, rpc } = setup.config
  const chain = { chainId, name: 'anvil', ...(canAdd && { rpc }) }
  connected?.[Symbol.dispose]()
  connected = await connectWallet(await find(rdns), { chain, ...(account && { account }) })
  return connected.address
}

/** What the wallet paid into a channel, by a permit that it signed and a transaction that it sent. */
async function pay(terms: ChannelTerms, deposit: bigint): Promise<bigint | undefined> {
  if (!connected) throw new Error('not connected')
  const chain = await connectChain(setup.config, { account: connected.signer, pollingIntervalMs: 50 })
  await openChannel(chain, terms, { deposit })
  return (await readChannel(chain, channelId(terms, chain)))?.deposited
}

async function codeOf(act: () => Promise<unknown>): Promise<string> {
  try {
    return `no refusal: ${await act()}`
  } catch (error) {
    return error instanceof TrustedPodsError ? `${error.code} ${error.message}` : `another error: ${error}`
  }
}

const walletPage = {
  begin,
  discover,
  pollute,
  countAll,
  connect,
  pay,
  refusedConnect: (rdns: string, options?: Parameters<typeof connect>[1]) => codeOf(() => connect(rdns, options)),
  refusedPay: (terms: ChannelTerms) => codeOf(() => pay(terms, 1n)),
  refusedFind: (rdns: string) => codeOf(() => find(rdns)),
  refuse: (method: string | undefined) => {
    fox.refuses = method
  },
  foxAsked: () => fox.asked.splice(0),
  /** As a person does behind the page's back, with or without a word from the wallet. */
  moveFox: (chainId: number, { silently = false } = {}) => {
    fox.chainId = chainId
    if (!silently) fox.emit('chainChanged', `0x${chainId.toString(16)}`)
  },
  emit: (wallet: 'fox' | 'owl', event: string, value: unknown) => (wallet === 'fox' ? fox : owl).emit(event, value),
  left: () => (connected?.left.aborted ? String(connected.left.reason?.code) : 'here'),
  leave: () => {
    connected?.[Symbol.dispose]()
    return [fox.listening, owl.listening]
  },
}
export type WalletPage = typeof walletPage

Object.assign(globalThis, { walletPage })
