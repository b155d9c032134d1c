/** Reading the whole registry: for the first time, again, and the way in which each provider is asked for by itself. */
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Chain, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { readEntry, readRecords } from '@trusted-pods/protocol/chain/registry.ts'
import { chainSource } from '@trusted-pods/protocol/registry/chain-source.ts'
import { openRecord } from '@trusted-pods/protocol/registry/record.ts'
import type { RecordCache } from '@trusted-pods/protocol/registry/record-cache.ts'
import { filterOffers } from '@trusted-pods/publisher/filter-offers.ts'
import { type ProviderOffer, toOffer } from '@trusted-pods/publisher/offer.ts'
import { fileRecordCache } from 'trustedpods/record-cache.ts'
import type { Address } from 'viem'
import { startCountingRpc } from '../../test/support/counting-rpc.ts'
import { startDevChain } from '../../test/support/dev-chain.ts'
import { seedRegistry } from './seed-registry.ts'
import { SEEDABLE } from './send-all.ts'
import { type Row, timed } from './timed.ts'

const WARM_RUNS = 9
/** Of all rows: asking for each by itself takes too long to do it for all. */
const SAMPLE = 200

export async function measureListing(providers: number): Promise<Row[]> {
  await using dev = await startDevChain({ args: SEEDABLE })
  await seedRegistry(dev.anvil, dev.config, providers)
  await using rpc = await startCountingRpc(dev.anvil.rpc)
  const chain = await connectChain({ ...dev.config, rpc: [rpc.rpc] })
  const folder = join(tmpdir(), `trusted-pods-bench-${process.pid}`)
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
  const cache = fileRecordCache(folder)
  const offers = () => list(chain, cache, providers)

  const count = providers.toLocaleString('en')
  const first = await timed(`list ${count} providers for the first time`, 1, offers, rpc)
  const again = await timed(`list ${count} providers again`, WARM_RUNS, offers, rpc)
  const chosen = await timed(
    `the same, and filter by region, TEE kind and GPU`,
    WARM_RUNS,
    async () => filterOffers(await offers(), { region: 'DE', tee: 'snp', gpu: 'H100' }),
    rpc,
  )
  const alone = await timed(`each provider by itself: ${SAMPLE} of them`, 1, () => listOneByOne(chain, SAMPLE), rpc)
  const scaled = { ...alone, name: `each provider by itself (${SAMPLE} measured, scaled up)` }
  const factor = providers / SAMPLE
  return [
    first,
    again,
    chosen,
    {
      ...scaled,
      p50Ms: alone.p50Ms * factor,
      bestMs: alone.bestMs * factor,
      cpuMs: alone.cpuMs * factor,
      rpcCalls: alone.rpcCalls * factor,
    },
  ]
}

async function list(chain: Chain, cache: RecordCache, wanted: number): Promise<ProviderOffer[]> {
  const offers: ProviderOffer[] = []
  for await (const row of chainSource(chain, { cache }).providers()) if ('record' in row) offers.push(toOffer(row))
  if (offers.length !== wanted) throw new Error(`${offers.length} of ${wanted} providers were listed`)
  return offers
}

/** What a list that only knows its accounts asks for: a row, then its record, one after the other. */
async function listOneByOne(chain: Chain, count: number): Promise<void> {
  const now = new Date()
  for (const account of await accounts(chain, count)) {
    const entry = await readEntry(chain, account)
    const [record] = entry === undefined ? [] : await readRecords(chain, [entry])
    if (!record) throw new Error(`no record of ${account}`)
    await openRecord(record.bytes, { ...chain, account, now })
  }
}

async function accounts(chain: Chain, count: number): Promise<Address[]> {
  const found: Address[] = []
  for await (const { account } of chainSource(chain, { pageRows: BigInt(count) }).providers()) {
    if (account !== undefined) found.push(account)
    if (found.length === count) break
  }
  return found
}
