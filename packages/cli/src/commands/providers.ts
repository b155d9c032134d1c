/** `trustedpods providers`: who is announced, at what price, and who could run a manifest. */
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { tokenMetadata } from '@trusted-pods/protocol/chain/token.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { manifestResources } from '@trusted-pods/protocol/manifest/resources.ts'
import { formatAmount, formatPrice, parseAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import { type Choice, chooseProvider, type RankedOffer } from '@trusted-pods/publisher/choose-provider.ts'
import { filterOffers, type OfferFilter } from '@trusted-pods/publisher/filter-offers.ts'
import type { ProviderOffer } from '@trusted-pods/publisher/offer.ts'
import { requireToken } from '@trusted-pods/publisher/payment.ts'
import { type Command, InvalidArgumentError } from 'commander'
import { type Config, loadConfig, required } from '../config.ts'
import { loadPolicy, openChain } from '../connections.ts'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { readManifest } from '../manifest-file.ts'
import { readProviders } from '../registry.ts'
import { formatTable } from '../table.ts'
import { countOf } from '../units.ts'
import type { Run } from './command.ts'

interface ProvidersFlags {
  for?: string
  policy?: string
  region?: string
  tee?: string
  gpu?: string | true
  sandbox?: string
  simulated: boolean
  maxPrice?: string
  limit?: number
}

/** Enough for people to choose from; -o json has all. */
const SHOWN = 50

export function addProviders(program: Command, run: Run): void {
  program
    .command('providers')
    .description('list the providers that are announced; with --for, by what they ask for a manifest')
    .option('--for <manifest>', 'rank them for this manifest and say why others do not fit')
    .option('--policy <file>', 'policy in place of the configured one')
    .option('--region <name>', 'only in this region: DE, or DE/fsn1')
    .option('--tee <type>', 'only with this kind of evidence: snp or tdx')
    .option('--gpu [model]', 'only with a GPU, or with this model')
    .option('--sandbox <name>', 'only with this sandbox: runsc, runc')
    .option('--no-simulated', 'none with simulated evidence')
    .option('--max-price <amount>', 'with --for: only up to this per hour, as 0.05 or "0.05 USDC"')
    .option('--limit <n>', `rows to show (default: ${SHOWN}; with -o json all)`, parseLimit)
    .action((flags: ProvidersFlags, command: Command) => run(command, (context) => providers(context, flags)))
}

async function providers(context: Context, flags: ProvidersFlags): Promise<ExitCode> {
  const config = await loadConfig(context.configPath)
  const chain = await openChain(config, context)
  const maxPrice = flags.maxPrice === undefined ? undefined : await parseMaxPrice(chain, flags.maxPrice, flags.for)
  const { offers: announced, skipped } = await readProviders(config, chain, context)
  for (const reason of skipped.slice(0, SHOWN)) context.output.progress(`skipped ${reason}`)
  if (skipped.length > SHOWN) context.output.progress(`skipped ${skipped.length - SHOWN} more`)
  const offers = filterOffers(announced, filterOf(flags))
  if (announced.length > offers.length)
    context.output.progress(
      `${announced.length} announced, ${announced.length - offers.length} left out by the filters`,
    )
  const limit = flags.limit ?? (context.output.format === 'json' ? offers.length : SHOWN)
  if (flags.for === undefined) listOffers(context, offers, limit)
  else await rankOffers(context, { config, offers, manifest: flags.for, limit, maxPrice, policy: flags.policy })
  return EXIT.OK
}

function filterOf({ region, tee, gpu, sandbox, simulated }: ProvidersFlags): OfferFilter {
  return {
    ...(region !== undefined && { region }),
    ...(tee !== undefined && { tee }),
    ...(gpu !== undefined && { gpu: gpu === true ? 'any' : gpu }),
    ...(sandbox !== undefined && { sandbox }),
    simulated,
  }
}

async function parseMaxPrice(chain: Chain, text: string, manifest: string | undefined): Promise<bigint> {
  if (manifest === undefined)
    throw new TrustedPodsError('PLATFORM_CONFIG', '--max-price is for a pod: name its manifest with --for')
  return parseAmount(text, await tokenMetadata(chain, requireToken(chain)))
}

function parseLimit(text: string): number {
  const limit = Number(text)
  if (Number.isSafeInteger(limit) && limit > 0) return limit
  throw new InvalidArgumentError('a whole number above 0 is wanted')
}

function listOffers({ output }: Context, offers: readonly ProviderOffer[], limit: number): void {
  const shown = offers.slice(0, limit)
  const rows = shown.map((offer) => [
    offer.peerId,
    boundText(offer.region) || '-',
    evidenceOf(offer),
    boundText(offer.sandbox) || '-',
    pricesOf(offer),
  ])
  const table = formatTable(['PROVIDER', 'REGION', 'EVIDENCE', 'SANDBOX', 'PRICES'], rows)
  output.result(rows.length > 0 ? table : NONE, output.format === 'json' ? shown.map(offerJson) : undefined)
  tellRest(output, offers.length - shown.length)
  if (offers.length > 0) output.next('trustedpods attest <provider>', 'trustedpods providers --for <manifest>')
}

const NONE = 'no provider to show'

function tellRest(output: Context['output'], count: number): void {
  if (count > 0) output.progress(`and ${countOf(count, 'more provider')}: --limit, or -o json`)
}

interface Ranking {
  config: Config
  offers: readonly ProviderOffer[]
  manifest: string
  limit: number
  /** Base units per hour. */
  maxPrice: bigint | undefined
  policy: string | undefined
}

async function rankOffers(
  { output }: Context,
  { config, offers, manifest, limit, maxPrice, policy }: Ranking,
): Promise<void> {
  const { id: chainId, token } = required(config, 'chain')
  const resources = manifestResources((await readManifest(manifest)).manifest)
  const wanted = { resources, policy: await loadPolicy(config, policy), chainId, token }
  const choice = chooseProvider(offers, { ...wanted, ...(maxPrice !== undefined && { maxRatePerHour: maxPrice }) })
  const ranked = choice.ranked.slice(0, limit)
  const rejected = choice.rejected.slice(0, Math.max(0, limit - ranked.length))
  output.result(
    formatChoice({ ranked, rejected }),
    output.format === 'json' ? choiceJson({ ranked, rejected }) : undefined,
  )
  tellRest(output, offers.length - ranked.length - rejected.length)
}

function choiceJson({ ranked, rejected }: Choice) {
  return {
    ranked: ranked.map((one) => ({
      ...offerJson(one.offer),
      ratePerHour: one.ratePerHour.toString(),
      ...costJson(one),
    })),
    rejected: rejected.map(({ offer, reason }) => ({ ...offerJson(offer), reason })),
  }
}

function costJson({ costPerHour, costPerMonth }: RankedOffer) {
  return { costPerHour: costPerHour.toString(), costPerMonth: costPerMonth.toString() }
}

function formatChoice({ ranked, rejected }: Choice): string {
  const fits = ranked.map(({ offer, pricing, ratePerHour, costPerMonth }) => [
    offer.peerId,
    boundText(offer.region) || '-',
    evidenceOf(offer),
    boundText(offer.sandbox) || '-',
    `${formatAmount(ratePerHour, pricing)} for the first hour, ${formatAmount(costPerMonth, pricing)} per month`,
  ])
  const others = rejected.map(({ offer, reason }) => [
    offer.peerId,
    boundText(offer.region) || '-',
    evidenceOf(offer),
    boundText(offer.sandbox) || '-',
    `does not fit: ${boundText(reason)}`,
  ])
  if (fits.length + others.length === 0) return NONE
  return formatTable(['PROVIDER', 'REGION', 'EVIDENCE', 'SANDBOX', 'OFFER'], [...fits, ...others])
}

/** Hints: only live evidence decides. */
function evidenceOf({ attestations }: ProviderOffer): string {
  return (
    attestations
      .map(({ evidenceType, simulated }) => boundText(simulated ? `${evidenceType} (SIMULATED)` : evidenceType))
      .join(', ') || '-'
  )
}

function pricesOf({ pricing }: ProviderOffer): string {
  return (
    pricing.map((table) => table.prices.map((price) => boundText(formatPrice(price, table))).join('; ')).join(' | ') ||
    '-'
  )
}

function offerJson(offer: ProviderOffer) {
  const { peerId, account, region, sandbox, multiaddrs, expiresAt } = offer
  return {
    peerId,
    account,
    region,
    sandbox,
    multiaddrs,
    expiresAt,
    evidence: offer.attestations.map(({ evidenceType, simulated }) => ({ type: evidenceType, simulated })),
    prices: offer.pricing.map((table) => ({
      chainId: table.chainId.toString(),
      token: table.token,
      symbol: table.symbol,
      lines: table.prices.map((price) => formatPrice(price, table)),
    })),
  }
}
