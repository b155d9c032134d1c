/** What a provider pays to be listed, to stay current and to leave. */
import { encodeFunctionData, type Hex, keccak256, maxUint256, toHex, zeroAddress } from 'viem'
import {
  providerRegistryAbi,
  providerRegistryBytecode,
} from '../../packages/protocol/src/chain/gen/provider-registry.ts'
import { testTokenAbi, testTokenBytecode } from '../../packages/protocol/src/chain/gen/test-token.ts'
import type { Costs, Session } from './session.ts'

const BOND = 50_000_000n
const RAW = 0x55
const EXIT_DELAY_SECONDS = 7 * 24 * 3600
const RECORD_BYTES = 600

export async function measureRegistry(session: Session): Promise<Costs> {
  const costs: Costs = new Map()
  // Another provider is there already: the list's very first row costs more, once.
  const [provider, earlier] = [session.account(6), session.account(7)]
  const free = await session.deploy({
    abi: providerRegistryAbi,
    bytecode: providerRegistryBytecode,
    args: [zeroAddress, 0n],
  })
  costs.set('deploy ProviderRegistry', free.gas)
  const announce = (seed: number) =>
    encodeFunctionData({ abi: providerRegistryAbi, functionName: 'announce', args: [recordOf(seed)] })
  await session.send(earlier, free.address, announce(0))
  costs.set('announce 600 bytes, new row', await session.send(provider, free.address, announce(1)))
  costs.set('announce 600 bytes, update', await session.send(provider, free.address, announce(2)))

  const token = await session.deploy({ abi: testTokenAbi, bytecode: testTokenBytecode, args: [] })
  const bonded = await session.deploy({
    abi: providerRegistryAbi,
    bytecode: providerRegistryBytecode,
    args: [token.address, BOND],
  })
  const approval = [bonded.address, maxUint256] as const
  const approve = encodeFunctionData({ abi: testTokenAbi, functionName: 'approve', args: approval })
  for (const account of [earlier, provider]) {
    const minted = [account.address, 2n * BOND] as const
    const mint = encodeFunctionData({ abi: testTokenAbi, functionName: 'mint', args: minted })
    await session.send(account, token.address, mint)
    await session.send(account, token.address, approve)
  }
  const announceCid = (seed: number) =>
    encodeFunctionData({
      abi: providerRegistryAbi,
      functionName: 'announceCid',
      args: [keccak256(toHex(seed)), RAW],
    })
  await session.send(earlier, bonded.address, announceCid(0))
  costs.set('announceCid with a bond, new row', await session.send(provider, bonded.address, announceCid(1)))
  costs.set('announceCid, update', await session.send(provider, bonded.address, announceCid(2)))
  const exit = encodeFunctionData({ abi: providerRegistryAbi, functionName: 'exit' })
  costs.set('exit the registry', await session.send(provider, bonded.address, exit))
  await session.pass(EXIT_DELAY_SECONDS)
  const remove = encodeFunctionData({ abi: providerRegistryAbi, functionName: 'remove' })
  costs.set('remove from the registry, with a bond', await session.send(provider, bonded.address, remove))
  return costs
}

/** Bytes that look like chance, as a signed record does: zero bytes would be cheaper. */
function recordOf(seed: number): Hex {
  let record = ''
  for (let i = 0; record.length < 2 * RECORD_BYTES; i++) record += keccak256(toHex(1000 * seed + i)).slice(2)
  return `0x${record.slice(0, 2 * RECORD_BYTES)}`
}
