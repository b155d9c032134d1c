/** Who is announced: from the place that the configuration names, and where a provider that moved is now. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { chainSource } from '@trusted-pods/protocol/registry/chain-source.ts'
import { type DhtSourceOptions, dhtSource } from '@trusted-pods/protocol/registry/dht-source.ts'
import { fileSource } from '@trusted-pods/protocol/registry/file-source.ts'
import type { RegistrySource } from '@trusted-pods/protocol/registry/source.ts'
import { urlSource } from '@trusted-pods/protocol/registry/url-source.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import { type ProviderOffer, toOffer } from '@trusted-pods/publisher/offer.ts'
import { type Relocate, relocateBy } from '@trusted-pods/publisher/relocate.ts'
import { type Config, loadConfig } from './config.ts'
import { openChain, openNode } from './connections.ts'
import type { Context } from './context.ts'
import { fileRecordCache } from './record-cache.ts'

export interface Announced {
  readonly offers: readonly ProviderOffer[]
  /** Rows that cannot be used, with the reason. */
  readonly skipped: readonly string[]
}

/** Every provider that is announced. */
export async function readProviders(config: Config, chain: Chain, context: Context): Promise<Announced> {
  const offers: ProviderOffer[] = []
  const skipped: string[] = []
  for await (const row of (await registrySource(config, chain, context)).providers({ signal: context.signal })) {
    if ('skipped' in row) skipped.push(`${row.account ?? 'a row'}: ${boundText(row.skipped)}`)
    else offers.push(toOffer(row))
  }
  return { offers, skipped }
}

/** Looks a provider up again that does not answer; a registry that cannot be read is told and no reason to fail. */
export function relocation(context: Context): { relocate: Relocate } {
  return {
    relocate: async (provider, { signal }) => {
      context.output.progress('the provider does not answer at its address: looking it up in the registry')
      try {
        const config = await loadConfig(context.configPath)
        const source = await registrySource(config, await openChain(config, context), context)
        return await relocateBy(source)(provider, signal ? { signal } : {})
      } catch (error) {
        if (!(error instanceof TrustedPodsError)) throw error
        context.output.progress(`the registry cannot be read: ${boundText(error.message)}`)
        return []
      }
    },
  }
}

async function registrySource(
  { registry, registryGateways: gateways }: Config,
  chain: Chain,
  context: Context,
): Promise<RegistrySource> {
  const { chainId } = chain
  const place = { chainId, registry: chain.registry }
  switch (registry?.kind) {
    case undefined:
      return chainSource(chain, {
        cache: fileRecordCache(join(context.stateFolder, 'registry')),
        ...(gateways && { gateways }),
      })
    case 'file':
      return fileSource(await readRecords(registry.path), place)
    case 'url':
      return urlSource(registry.url, place)
    case 'dht':
      return overDht(context, { ...place, bootstrap: registry.bootstrap })
  }
}

/** With a node of its own for as long as it is read. */
function overDht(context: Context, options: DhtSourceOptions): RegistrySource {
  return {
    async *providers(read) {
      await using own = await openNode(context, { dht: true })
      yield* dhtSource(own.node, options).providers(read)
    },
  }
}

async function readRecords(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw new TrustedPodsError('PLATFORM_CONFIG', `registryFile ${path} cannot be read`, { cause })
  }
}
