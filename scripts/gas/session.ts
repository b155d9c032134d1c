/** A chain, its accounts, and transactions that report what they cost. */
import {
  type Abi,
  type Address,
  createPublicClient,
  createWalletClient,
  type EncodeDeployDataParameters,
  encodeDeployData,
  type HDAccount,
  type Hex,
  http,
  type PublicClient,
} from 'viem'
import { foundry } from 'viem/chains'
import type { Anvil } from '../../test/support/anvil.ts'

/** Action → gas. */
export type Costs = Map<string, bigint>

export interface Session {
  readonly reader: PublicClient
  readonly chainId: number
  account(index: number): HDAccount
  /** Gas that the transaction used. Throws when it reverts. */
  send(from: HDAccount, to: Address, data: Hex): Promise<bigint>
  deploy<A extends Abi>(contract: EncodeDeployDataParameters<A>): Promise<{ address: Address; gas: bigint }>
  pass(seconds: number): Promise<void>
}

const POLLING_MS = 20

export async function connect(anvil: Anvil): Promise<Session> {
  const transport = http(anvil.rpc)
  const reader = createPublicClient({ chain: foundry, transport, pollingInterval: POLLING_MS })
  const transact = async (from: HDAccount, to: Address | undefined, data: Hex) => {
    const wallet = createWalletClient({ account: from, chain: foundry, transport })
    const hash = await wallet.sendTransaction(to === undefined ? { data } : { to, data })
    const receipt = await reader.waitForTransactionReceipt({ hash })
    if (receipt.status !== 'success') throw new Error(`transaction ${hash} reverted`)
    return receipt
  }
  return {
    reader,
    chainId: anvil.chainId,
    account: anvil.account,
    send: async (from, to, data) => (await transact(from, to, data)).gasUsed,
    deploy: async (contract) => {
      const { contractAddress, gasUsed } = await transact(anvil.account(0), undefined, encodeDeployData(contract))
      if (!contractAddress) throw new Error('no contract was created')
      return { address: contractAddress, gas: gasUsed }
    },
    pass: async (seconds) => {
      await anvil.control.increaseTime({ seconds })
      await anvil.control.mine({ blocks: 1 })
    },
  }
}
