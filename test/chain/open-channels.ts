/** A process of its own that opens channels from an account which others pay from too. Arguments: JSON, see `OpenTask`. */
import { openOutboxFiles } from '@trusted-pods/platform/outbox-files.ts'
import { ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { type ChainConfig, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { openChannel } from '@trusted-pods/protocol/chain/escrow.ts'
import type { Address, Hex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

export interface OpenTask {
  readonly config: ChainConfig & { readonly token: Address }
  /** A well-known key of a development chain. */
  readonly key: Hex
  readonly outbox: string
  readonly provider: Address
  readonly podIds: readonly Hex[]
  readonly deposit: string
}

const { config, key, outbox, provider, podIds, deposit }: OpenTask = JSON.parse(process.argv[2] ?? '{}')
const account = privateKeyToAccount(key)
const chain = await connectChain(config, { account, outbox: openOutboxFiles(outbox), pollingIntervalMs: 20 })
const common = { voucherSigner: ZERO_ADDRESS, meter: ZERO_ADDRESS, ratePerHour: 1n, unlockDelay: 900 }
for (const podId of podIds) {
  const terms = { payer: account.address, provider, token: config.token, podId, ...common }
  await openChannel(chain, terms, { deposit: BigInt(deposit) })
}
