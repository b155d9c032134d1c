/** Many unsigned transactions of a development chain in one request, and one block for all of them. */
import { type Address, type Hex, numberToHex } from 'viem'
import type { Anvil } from '../../test/support/anvil.ts'

/** Arguments for an anvil in which every account can send, with coin or without, many to a block. */
export const SEEDABLE = ['--gas-limit', '1000000000000', '--base-fee', '0', '--gas-price', '0', '--auto-impersonate']

export interface Call {
  readonly from: Address
  readonly to: Address
  readonly data: Hex
}

const GAS_PER_CALL = 1_000_000

/** @param nonce of the first, where they are all of one account. */
export async function sendAll({ rpc, control }: Anvil, calls: readonly Call[], nonce?: number): Promise<void> {
  await control.setAutomine(false)
  const body = calls.map((call, id) => ({
    jsonrpc: '2.0',
    id,
    method: 'eth_sendTransaction',
    params: [
      {
        ...call,
        gas: numberToHex(GAS_PER_CALL),
        gasPrice: '0x0',
        ...(nonce !== undefined && { nonce: numberToHex(nonce + id) }),
      },
    ],
  }))
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(rpc, { method: 'POST', headers, body: JSON.stringify(body) })
  const answers = (await response.json()) as { error?: { message: string } }[]
  const failed = answers.find(({ error }) => error !== undefined)
  if (failed) throw new Error(`a transaction was refused: ${failed.error?.message}`)
  await control.setAutomine(true)
  await control.mine({ blocks: 1 })
}
