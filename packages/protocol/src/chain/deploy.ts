/** Puts the contracts on a chain: a test token, the escrow and the registry of a development chain. */
import { type Abi, type Address, encodeDeployData, type Hex } from 'viem'
import { TrustedPodsError } from '../errors.ts'
import { ZERO_ADDRESS } from './address.ts'
import type { ChainNode } from './client.ts'
import { podEscrowAbi, podEscrowBytecode } from './gen/pod-escrow.ts'
import { providerRegistryAbi, providerRegistryBytecode } from './gen/provider-registry.ts'
import { testTokenAbi, testTokenBytecode } from './gen/test-token.ts'
import { type TransactOptions, transact } from './transact.ts'

export interface Deployment {
  readonly token: Address
  readonly escrow: Address
  readonly registry: Address
}

/** Deploys all three from the node's wallet. The registry asks for no bond: a development chain has no junk to keep out. */
export async function deployContracts(node: ChainNode, options: TransactOptions = {}): Promise<Deployment> {
  const token = await deploy(
    node,
    { abi: testTokenAbi, bytecode: testTokenBytecode, args: [], what: 'the test token' },
    options,
  )
  const escrow = await deploy(
    node,
    { abi: podEscrowAbi, bytecode: podEscrowBytecode, args: [], what: 'the escrow' },
    options,
  )
  const registry = await deploy(
    node,
    { abi: providerRegistryAbi, bytecode: providerRegistryBytecode, args: [ZERO_ADDRESS, 0n], what: 'the registry' },
    options,
  )
  return { token, escrow, registry }
}

interface Contract {
  readonly abi: Abi
  readonly bytecode: Hex
  readonly args: readonly unknown[]
  readonly what: string
}

async function deploy(
  node: ChainNode,
  { abi, bytecode, args, what }: Contract,
  options: TransactOptions,
): Promise<Address> {
  const data = encodeDeployData({ abi, bytecode, args })
  const { contract, transaction } = await transact(
    node,
    { to: undefined, data, abi, what: `deploying ${what}` },
    options,
  )
  if (contract === undefined)
    throw new TrustedPodsError('CHANNEL_TRANSACTION_FAILED', `transaction ${transaction} created no contract`)
  return contract
}
