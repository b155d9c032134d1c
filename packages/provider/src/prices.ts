/** The configured price list, and whether what it prices by use is also metered and offered here. */
import { readFile } from 'node:fs/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { PriceKind, type PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { parsePriceList } from '@trusted-pods/protocol/pricing/price-list.ts'
import type { ProviderConfig } from './config.ts'
import type { RuntimeDescription } from './runtime/pod-runtime.ts'

/** @throws TrustedPodsError QUOTE_PRICES_INVALID, for prices of use that nobody could ask for too. */
export async function loadPrices({
  pricesFile,
  chain,
  capacity,
}: Pick<ProviderConfig, 'pricesFile' | 'chain' | 'capacity'>): Promise<PricingTable> {
  const { chainId, token } = chain
  const table = parsePriceList(await readFile(pricesFile, 'utf8'), {
    file: pricesFile,
    chainId,
    ...(token && { token }),
  })
  const missing = usedResources(table).find((resource) => !capacity.some(({ name }) => name === resource))
  if (missing === undefined) return table
  throw new TrustedPodsError(
    'QUOTE_PRICES_INVALID',
    `${pricesFile} prices ${missing}, and capacity offers none: say how much all pods together may use in an hour`,
  )
}

/** @throws TrustedPodsError QUOTE_PRICES_INVALID for prices of use where nothing counts it. */
export function requireMetered(table: PricingTable, { traffic }: Pick<RuntimeDescription, 'traffic'>): void {
  const [unmetered] = traffic === 'counted' ? [] : usedResources(table)
  if (unmetered === undefined) return
  throw new TrustedPodsError(
    'QUOTE_PRICES_INVALID',
    `the price list has ${unmetered}, and nothing counts it on this machine: install nftables, or take the price out`,
  )
}

/** Resources that are priced by use. */
export function usedResources({ prices }: PricingTable): string[] {
  return prices.flatMap(({ kind, resource }) => (kind === PriceKind.USAGE ? [resource] : []))
}
