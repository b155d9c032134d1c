/** The plan as text and as JSON: what it costs, what is sent to whom. Pure. */
import { formatAmount, formatPrice } from '@trusted-pods/protocol/pricing/notation.ts'
import type { Plan } from '@trusted-pods/publisher/plan.ts'
import type { Colours } from './colours.ts'
import { formatDuration, formatQuantity } from './units.ts'

export function formatPlan(plan: Plan, colours: Colours): string {
  const money = (units: bigint) => formatAmount(units, plan.pricing)
  const { provider, evidence } = plan
  const label = (text: string) => colours.dim(text.padEnd(11))
  const place = [provider.region, provider.sandbox && `sandbox ${provider.sandbox}`]
    .filter((text) => text !== '')
    .join(', ')
  const lines = [
    `${label('provider')}${provider.peerId}${place && ` (${place})`}`,
    `${label('evidence')}${evidence.type}, ${evidence.tier}${evidence.simulated ? `, ${colours.red('SIMULATED - NOT CONFIDENTIAL')}` : ''}`,
    `${label('reserves')}${plan.resources.map(formatQuantity).join(', ')}`,
    `${label('prices')}${plan.pricing.prices.map((price) => formatPrice(price, plan.pricing)).join('; ')}`,
    `${label('cost')}${colours.bold(`${money(plan.costPerHour)} per hour`)}, ${money(plan.costPerDay)} per day${startCost(plan)}`,
    `${label('deposit')}${colours.bold(money(plan.deposit))}${lasts(plan)}; what is not used comes back`,
    `${label('refund')}at once when you stop the pod; ${formatDuration(plan.unlockDelaySeconds)} after your request if the provider is gone`,
    ...plan.priceChanges.map((change) => `${label('note')}${colours.yellow(change)}`),
    ...plan.sends.map(({ what, to }, i) => `${label(i === 0 ? 'sends' : '')}${what}, to ${to}`),
    `${label('valid')}until ${plan.quoteExpiresAt.toISOString()}`,
  ]
  return lines.map((line) => `  ${line}`).join('\n')
}

function startCost({ costOfStart, pricing }: Plan): string {
  return costOfStart === 0n ? '' : `, ${formatAmount(costOfStart, pricing)} once for the start`
}

function lasts({ depositHours }: Plan): string {
  return depositHours === undefined ? '' : `, lasts ${formatDuration(Math.floor(depositHours * 3600))}`
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
    costOfStart: plan.costOfStart.toString(),
    ratePerHour: plan.ratePerHour.toString(),
    deposit: plan.deposit.toString(),
    depositHours,
    unlockDelaySeconds,
    quoteExpiresAt,
    priceChanges,
    sends,
  }
}
