/** The configured price list, as far as what it prices is also metered here. */
import { readFile } from 'node:fs/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { PriceKind, type PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { parsePriceList } from '@trusted-pods/protocol/pricing/price-list.ts'
import type { ProviderConfig } from './config.ts'

/** @throws TrustedPodsError QUOTE_PRICES_INVALID, for prices of what is not metered here too. */
export async function loadPrices({
  pricesFile,
  chain,
}: Pick<ProviderConfig, 'pricesFile' | 'chain'>): Promise<PricingTable> {
  const { chainId, token } = chain
  const table = parsePriceList(await readFile(pricesFile, 'utf8'), {
    file: pricesFile,
    chainId,
    ...(token && { token }),
  })
  const unmetered = table.prices.find(({ kind }) => kind === PriceKind.USAGE)
  if (!unmetered) return table
  throw new TrustedPodsError(
    'QUOTE_PRICES_INVALID',
    `${pricesFile}: ${unmetered.resource} is not metered yet and cannot be priced`,
  )
}
