/** `trustedpods providers`: who is announced, at what price, and who could run a manifest. */

import { manifestResources } from '@trusted-pods/protocol/manifest/resources.ts'
import { formatAmount, formatPrice } from '@trusted-pods/protocol/pricing/notation.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import { type Choice, chooseProvider } from '@trusted-pods/publisher/choose-provider.ts'
import type { ProviderOffer } from '@trusted-pods/publisher/offer.ts'
import type { Command } from 'commander'
import { type Config, loadConfig, required } from '../config.ts'
import { loadPolicy, openChain, readProviders } from '../connections.ts'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { readManifest } from '../manifest-file.ts'
import { formatTable } from '../table.ts'
import type { Run } from './command.ts'

interface ProvidersFlags {
  for?: string
  policy?: string
}

export function addProviders(program: Command, run: Run): void {
  program
    .command('providers')
    .description('list the providers that are announced; with --for, by what they ask for a manifest')
    .option('--for <manifest>', 'rank them for this manifest and say why others do not fit')
    .option('--policy <file>', 'policy in place of the configured one')
    .action((flags: ProvidersFlags, command: Command) => run(command, (context) => providers(context, flags)))
}

async function providers(context: Context, flags: ProvidersFlags): Promise<ExitCode> {
  const config = await loadConfig(context.configPath)
  const chain = await openChain(config, context)
  const { offers, skipped } = await readProviders(config, chain, context)
  for (const reason of skipped) context.output.progress(`skipped ${reason}`)
  if (flags.for === undefined) listOffers(context, offers)
  else
    await rankOffers(context, {
      config,
      offers,
      manifest: flags.for,
      ...(flags.policy !== undefined && { policy: flags.policy }),
    })
  return EXIT.OK
}

function listOffers({ output }: Context, offers: readonly ProviderOffer[]): void {
  const rows = offers.map((offer) => [
    offer.peerId,
    boundText(offer.region) || '-',
    evidenceOf(offer),
    boundText(offer.sandbox) || '-',
    pricesOf(offer),
  ])
  const text =
    rows.length > 0
      ? formatTable(['PROVIDER', 'REGION', 'EVIDENCE', 'SANDBOX', 'PRICES'], rows)
      : 'no provider is announced'
  output.result(text, offers.map(offerJson))
  if (offers.length > 0) output.next('trustedpods attest <provider>')
}

interface Ranking {
  config: Config
  offers: readonly ProviderOffer[]
  manifest: string
  policy?: string
}

async function rankOffers(context: Context, { config, offers, manifest, policy }: Ranking): Promise<void> {
  const { id: chainId, token } = required(config, 'chain')
  const resources = manifestResources((await readManifest(manifest)).manifest)
  const choice = chooseProvider(offers, { resources, policy: await loadPolicy(config, policy), chainId, token })
  context.output.result(formatChoice(choice), {
    ranked: choice.ranked.map(({ offer, ratePerHour }) => ({
      ...offerJson(offer),
      ratePerHour: ratePerHour.toString(),
    })),
    rejected: choice.rejected.map(({ offer, reason }) => ({ ...offerJson(offer), reason })),
  })
}

function formatChoice({ ranked, rejected }: Choice): string {
  const fits = ranked.map(({ offer, pricing, ratePerHour }) => [
    offer.peerId,
    boundText(offer.region) || '-',
    evidenceOf(offer),
    `${formatAmount(ratePerHour, pricing)} for the first hour`,
  ])
  const others = rejected.map(({ offer, reason }) => [
    offer.peerId,
    boundText(offer.region) || '-',
    evidenceOf(offer),
    `does not fit: ${boundText(reason)}`,
  ])
  if (fits.length + others.length === 0) return 'no provider is announced'
  return formatTable(['PROVIDER', 'REGION', 'EVIDENCE', 'OFFER'], [...fits, ...others])
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
