/** A transaction to the escrow contract, of one call or several. Spec: spec/PAYMENT.md#escrow. */
import { encodeFunctionData, type Hex } from 'viem'
import type { Chain } from './client.ts'
import { podEscrowAbi } from './gen/pod-escrow.ts'
import { type Mined, type TransactOptions, transact } from './transact.ts'

export interface SendOptions extends TransactOptions {
  readonly what: string
  readonly intent?: string
}

export function send(chain: Chain, data: Hex, { signal, ...call }: SendOptions): Promise<Mined> {
  return transact(chain, { to: chain.escrow, data, abi: podEscrowAbi, ...call }, { signal })
}

export function encodeMulticall(calls: Hex[]): Hex {
  return encodeFunctionData({ abi: podEscrowAbi, functionName: 'multicall', args: [calls] })
}
