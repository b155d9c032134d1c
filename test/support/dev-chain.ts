/** A real chain with our contracts on it, and connections to it as any of its accounts. */
import { type Chain, type ChainConfig, connectChain, connectNode } from '@trusted-pods/protocol/chain/client.ts'
import { deployContracts } from '@trusted-pods/protocol/chain/deploy.ts'
import { mintTestToken } from '@trusted-pods/protocol/chain/token.ts'
import type { Address } from 'viem'
import { type Anvil, type AnvilOptions, startAnvil } from './anvil.ts'

export interface DevChain extends AsyncDisposable {
  readonly anvil: Anvil
  readonly config: ChainConfig & { readonly token: Address }
  /** The chain with the account of this index as its wallet. */
  connect(index: number): Promise<Chain & { readonly token: Address }>
  /** Gives test tokens to the account of this index. */
  mint(index: number, amount: bigint): Promise<void>
}

/** The account that deploys and mints; tests use the lower ones. */
const DEPLOYER = 9
const POLLING_INTERVAL_MS = 20

export async function startDevChain(options: AnvilOptions = {}): Promise<DevChain> {
  const anvil = await startAnvil(options)
  try {
    const endpoints = { chainId: anvil.chainId, rpc: [anvil.rpc] }
    const deployer = { account: anvil.account(DEPLOYER), pollingIntervalMs: POLLING_INTERVAL_MS }
    const node = await connectNode(endpoints, deployer)
    const config = { ...endpoints, ...(await deployContracts(node)) }
    return {
      anvil,
      config,
      connect: async (index) => {
        const account = anvil.account(index)
        const chain = await connectChain(config, { account, pollingIntervalMs: POLLING_INTERVAL_MS })
        return { ...chain, token: config.token }
      },
      mint: async (index, amount) => {
        await mintTestToken(node, { token: config.token, to: anvil.account(index).address, amount })
      },
      [Symbol.asyncDispose]: () => anvil[Symbol.asyncDispose](),
    }
  } catch (error) {
    await anvil.kill()
    throw error
  }
}
