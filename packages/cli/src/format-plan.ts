/** The plan as text and as JSON: what it costs, what is sent to whom. Pure. */

import { formatAmount, formatPrice } from '@trusted-pods/protocol/pricing/notation.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import type { Plan } from '@trusted-pods/publisher/plan.ts'
import type { Colours } from './colours.ts'
import { formatDuration, formatQuantity } from './units.ts'

export function formatPlan(plan: Plan, colours: Colours): string {
  const money = (units: bigint) => formatAmount(units, plan.pricing)
  const { provider, evidence } = plan
  const label = (text: string) => colours.dim(text.padEnd(11))
  const place = [provider.region, provider.sandbox && `sandbox ${provider.sandbox}`]
    .filter((text) => text !== '')
    .map(boundText)
    .join(', ')
  const lines = [
    `${label('provider')}${provider.peerId}${place && ` (${place})`}`,
    `${label('evidence')}${evidence.type}, ${evidence.tier}${evidence.simulated ? `, ${colours.red('SIMULATED - NOT CONFIDENTIAL')}` : ''}`,
    `${label('reserves')}${plan.resources.map(formatQuantity).map(boundText).join(', ')}`,
    `${label('prices')}${plan.pricing.prices.map((price) => boundText(formatPrice(price, plan.pricing))).join('; ')}`,
    `${label('cost')}${colours.bold(`${money(plan.costPerHour)} per hour`)}, ${money(plan.costPerDay)} per day, ${money(plan.costPerMonth)} per month${startCost(plan)}${trafficCost(plan)}`,
    `${label('deposit')}${colours.bold(money(plan.deposit))}${lasts(plan)}; what is not used comes back`,
    ...(plan.funding ? [`${label('funding')}${plan.funding.how}`] : []),
    `${label('refund')}at once when you stop the pod; ${formatDuration(plan.unlockDelaySeconds)} after your request if the provider is gone`,
    ...dearer(plan).map((warning) => `${label('warning')}${colours.red(warning)}`),
    ...plan.priceChanges.map((change) => `${label('note')}${colours.yellow(boundText(change))}`),
    ...plan.sends.map(({ what, to }, i) => `${label(i === 0 ? 'sends' : '')}${what}, to ${to}`),
    `${label('valid')}until ${plan.quoteExpiresAt.toISOString()}; ${kept(plan)}`,
  ]
  return lines.map((line) => `  ${line}`).join('\n')
}

/** Where the provider asks for more than it announced, or than was chosen. */
function dearer({ ratePerHour, announcedRatePerHour, deposit, depositRaisedFrom, pricing }: Plan): string[] {
  const money = (units: bigint) => formatAmount(units, pricing)
  const warnings: string[] = []
  if (announcedRatePerHour !== undefined && ratePerHour > announcedRatePerHour)
    warnings.push(`the quote is ${money(ratePerHour)} per hour, announced were ${money(announcedRatePerHour)}`)
  if (depositRaisedFrom !== undefined)
    warnings.push(
      `the provider takes ${money(deposit)} at least: the deposit was raised from ${money(depositRaisedFrom)}`,
    )
  return warnings
}

function startCost({ costOfStart, pricing }: Plan): string {
  return costOfStart === 0n ? '' : `, ${formatAmount(costOfStart, pricing)} once for the start`
}

function trafficCost({ costOfTrafficPerHour, pricing }: Plan): string {
  return costOfTrafficPerHour === 0n
    ? ''
    : `, and up to ${formatAmount(costOfTrafficPerHour, pricing)} per hour for traffic`
}

function lasts({ depositHours, runsUntil }: Plan): string {
  if (depositHours === undefined) return ''
  const until = runsUntil === undefined ? '' : `, runs until ${toMinute(runsUntil)}`
  return `, lasts ${formatDuration(Math.floor(depositHours * 3600))}${until}`
}

function kept({ heldUntil, quoteExpiresAt }: Plan): string {
  if (heldUntil === undefined) return 'the place is not kept: somebody else may take it first'
  const until = heldUntil.getTime() === quoteExpiresAt.getTime() ? 'as long' : `until ${heldUntil.toISOString()}`
  return `the place is kept ${until}`
}

/** "2030-01-01 14:05Z": an estimate needs no seconds. */
function toMinute(time: Date): string {
  return `${time.toISOString().slice(0, -8).replace('T', ' ')}Z`
}

export function planJson(plan: Plan) {
  const { provider, evidence, depositHours, unlockDelaySeconds, quoteExpiresAt, priceChanges, sends, pricing } = plan
  return {
    provider,
    evidence,
    resources: plan.resources.map(({ name, quantity, selector }) => ({
      name,
      quantity: quantity.toString(),
      selector,
    })),
    token: {
      address: pricing.token,
      symbol: pricing.symbol,
      decimals: pricing.decimals,
      chainId: pricing.chainId.toString(),
    },
    costPerHour: plan.costPerHour.toString(),
    costPerDay: plan.costPerDay.toString(),
    costPerMonth: plan.costPerMonth.toString(),
    costOfStart: plan.costOfStart.toString(),
    costOfTrafficPerHour: plan.costOfTrafficPerHour.toString(),
    ratePerHour: plan.ratePerHour.toString(),
    announcedRatePerHour: plan.announcedRatePerHour?.toString(),
    deposit: plan.deposit.toString(),
    depositRaisedFrom: plan.depositRaisedFrom?.toString(),
    funding: plan.funding,
    depositHours,
    runsUntil: plan.runsUntil,
    unlockDelaySeconds,
    quoteExpiresAt,
    heldUntil: plan.heldUntil,
    priceChanges,
    sends,
  }
}
