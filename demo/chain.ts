/** The demo's chain: anvil as a child, our contracts and a test token on it, two accounts with coins to pay with. */
import { join } from 'node:path'
import { anvilProgram } from '@trusted-pods/platform/anvil-program.ts'
import { storeSecret } from '@trusted-pods/platform/secret-file.ts'
import { type Chain, connectChain, connectNode } from '@trusted-pods/protocol/chain/client.ts'
import { deployContracts } from '@trusted-pods/protocol/chain/deploy.ts'
import { mintTestToken } from '@trusted-pods/protocol/chain/token.ts'
import { type Address, createTestClient, http, parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { type Child, startChild } from './children.ts'
import type { Places } from './places.ts'

export const CHAIN_ID = 31_337
/** 100 tUSDC. */
export const PUBLISHER_FUNDS = 100_000_000n
const LISTENING = /^Listening on (127\.0\.0\.1:[0-9]+)$/

export interface DemoChain {
  readonly rpc: string
  /** Read only. */
  readonly chain: Chain
  readonly token: Address
  readonly provider: Account
  readonly publisher: Account
}

interface Account {
  readonly address: Address
  readonly keyFile: string
}

export async function startDemoChain(places: Places, options: AnvilOptions = {}): Promise<DemoChain> {
  const { rpc } = await startAnvilChild(places, options)
  const deployer = privateKeyToAccount(generatePrivateKey())
  const control = createTestClient({ mode: 'anvil', transport: http(rpc) })
  await control.setBalance({ address: deployer.address, value: parseEther('10') })
  const node = await connectNode({ chainId: CHAIN_ID, rpc: [rpc] }, { account: deployer, pollingIntervalMs: 100 })
  const { token, escrow, registry } = await deployContracts(node)
  const provider = await makeAccount(join(places.folder, 'provider', 'wallet.key'))
  const publisher = await makeAccount(join(places.folder, 'publisher', 'wallet.key'))
  for (const { address } of [provider, publisher]) await control.setBalance({ address, value: parseEther('1') })
  await mintTestToken(node, { token, to: publisher.address, amount: PUBLISHER_FUNDS })
  const chain = await connectChain({ chainId: CHAIN_ID, rpc: [rpc], escrow, registry, token })
  return { rpc, chain, token, provider, publisher }
}

export interface AnvilOptions {
  /** 0: a free one. */
  readonly port?: number
  /** Further command line options. */
  readonly args?: readonly string[]
}

export async function startAnvilChild(
  places: Places,
  { port = 0, args = [] }: AnvilOptions = {},
): Promise<{ anvil: Child; rpc: string }> {
  const anvil = await startChild(places.folder, '2-anvil', {
    program: anvilProgram(),
    args: ['--host', '127.0.0.1', '--port', `${port}`, '--chain-id', `${CHAIN_ID}`, ...args],
    logFile: join(places.logs, 'anvil.log'),
  })
  return { anvil, rpc: `http://${await anvil.line((line) => LISTENING.exec(line)?.[1])}` }
}

async function makeAccount(keyFile: string): Promise<Account> {
  const key = generatePrivateKey()
  await storeSecret(keyFile, new TextEncoder().encode(`${key}\n`))
  return { address: privateKeyToAccount(key).address, keyFile }
}
