/** `tpodserver register`, `unregister` and `record`: onto the list of the chain's registry, off it again, and into a list of one's own. Spec: spec/REGISTRY.md#contract. */
import { join } from 'node:path'
import { create } from '@bufbuild/protobuf'
import { openOutboxFiles } from '@trusted-pods/platform/outbox-files.ts'
import { loadLocalWallet } from '@trusted-pods/platform/wallet-account.ts'
import { type Chain, connectChain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { announce, exitRegistry, readEntry, removeProvider } from '@trusted-pods/protocol/chain/registry.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { encodeRecordFile } from '@trusted-pods/protocol/registry/file-source.ts'
import { verifyRecord } from '@trusted-pods/protocol/registry/record.ts'
import type { ProviderConfig } from './config.ts'
import { offeredGpus } from './devices.ts'
import { loadProviderKeys } from './keys.ts'
import { openListing } from './listing.ts'
import { loadPrices } from './prices.ts'
import { renewRecord } from './provider-record.ts'

/** Announces the record of the last run anew, with region, prices and capacity as they are configured now. */
export async function register(config: ProviderConfig): Promise<string> {
  const chain = await openChain(config)
  const listing = openListing(config.stateDir)
  const signed = await currentRecord(config)
  await listing.setWanted(true)
  await listing.keepRecord(signed)
  const { transaction } = await announce(chain, signed)
  return `registered: account ${requireWallet(chain).account.address}, transaction ${transaction}`
}

/** A file with this provider's record, good for 30 days from now. Such files, one after the other, are one file. */
export async function exportRecord(config: ProviderConfig): Promise<Uint8Array> {
  return encodeRecordFile([await currentRecord(config)])
}

/** @throws TrustedPodsError PLATFORM_STATE before the first run; CHANNEL_REGISTRY_RECORD when that was for another chain or account. */
async function currentRecord(config: ProviderConfig): Promise<Uint8Array> {
  const last = await openListing(config.stateDir).lastRecord()
  if (last === undefined) {
    throw new TrustedPodsError(
      'PLATFORM_STATE',
      'this provider has not run yet: its addresses, evidence and sandbox are not known. tpodserver run registers it',
    )
  }
  const { address: account } = await loadLocalWallet(config.wallet, process.env)
  const { opened } = await verifyRecord(last, { ...config.chain, account })
  const record = {
    ...opened.record,
    region: config.region,
    pricing: [await loadPrices(config)],
    capacity: [...config.capacity, ...offeredGpus(config.gpus)].map((amount) => create(ResourceSchema, amount)),
  }
  return await renewRecord(record, (await loadProviderKeys(config.stateDir)).identity)
}

/** Leaves the list; called again after the delay, takes the row off and the bond back. A provider that runs is not announced again. */
export async function unregister(config: ProviderConfig, { now = new Date() }: { now?: Date } = {}): Promise<string> {
  const chain = await openChain(config)
  await openListing(config.stateDir).setWanted(false)
  const { account } = requireWallet(chain)
  const entry = await readEntry(chain, account.address)
  if (entry === undefined) return `account ${account.address} is not on the list`
  if (entry.exitAt === 0) {
    await exitRegistry(chain)
    const { exitAt = 0 } = (await readEntry(chain, account.address)) ?? {}
    return `leaving: no publisher chooses this provider any more. ${whatIsLeft(exitAt)}`
  }
  if (await isBefore(chain, entry.exitAt, now)) return `leaving already. ${whatIsLeft(entry.exitAt)}`
  const { transaction } = await removeProvider(chain)
  return `off the list, bond returned: transaction ${transaction}`
}

function whatIsLeft(exitAt: number): string {
  return `From ${new Date(exitAt * 1000).toISOString()} on, tpodserver unregister takes the row off and returns the bond`
}

/** By the later of the chain's clock and ours: a chain that makes no block for a while has an old time. */
async function isBefore(chain: Chain, exitAt: number, now: Date): Promise<boolean> {
  const { timestamp } = await chain.public.getBlock()
  return Number(timestamp) < exitAt && now.getTime() < exitAt * 1000
}

async function openChain({ chain, wallet, stateDir }: ProviderConfig): Promise<Chain> {
  const outbox = openOutboxFiles(join(stateDir, 'outbox'))
  return await connectChain(chain, { account: await loadLocalWallet(wallet, process.env), outbox })
}
