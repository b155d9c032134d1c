import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { PriceKind, PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import type { Plan } from '@trusted-pods/publisher/plan.ts'
import { getAddress } from 'viem'
import { coloursFor } from './colours.ts'
import { formatPlan, planJson } from './format-plan.ts'
import { toJsonLine } from './output.ts'

const PLAN: Plan = {
  provider: { peerId: '12D3peer', account: getAddress(`0x${'aa'.repeat(20)}`), region: 'DE/fsn1', sandbox: 'runsc' },
  evidence: { type: 'snp', tier: 'warning', simulated: true },
  resources: [
    create(ResourceSchema, { name: 'cpu', quantity: 500n }),
    create(ResourceSchema, { name: 'memory', quantity: 268_435_456n }),
  ],
  pricing: create(PricingTableSchema, {
    chainId: 1n,
    token: new Uint8Array(20),
    decimals: 6,
    symbol: 'USDC',
    prices: [{ resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n }],
  }),
  costPerHour: 22_500n,
  costPerDay: 540_000n,
  costPerMonth: 16_425_000n,
  costOfStart: 1000n,
  costOfTrafficPerHour: 0n,
  ratePerHour: 23_500n,
  deposit: 1_000_000n,
  depositHours: 42.5,
  runsUntil: new Date('2029-12-31T18:30:59Z'),
  unlockDelaySeconds: 3600,
  quoteExpiresAt: new Date('2030-01-01T00:00:00Z'),
  priceChanges: ['cpu is dearer than announced'],
  sends: [
    { what: 'the deposit', to: 'the escrow' },
    { what: 'the manifest', to: 'the attested machine' },
  ],
}

test('a plan says whom, what evidence, what it costs, what is at stake and what is sent to whom', () => {
  const text = formatPlan(PLAN, coloursFor(false))
  assert.equal(
    text,
    [
      '  provider   12D3peer (DE/fsn1, sandbox runsc)',
      '  evidence   snp, warning, SIMULATED - NOT CONFIDENTIAL',
      '  reserves   cpu 500 mCPU, memory 256 MiB',
      '  prices     0.045 USDC per vCPU-hour',
      '  cost       0.0225 USDC per hour, 0.54 USDC per day, 16.425 USDC per month, 0.001 USDC once for the start',
      '  deposit    1 USDC, lasts 1 d 18 h, runs until 2029-12-31 18:30Z; what is not used comes back',
      '  refund     at once when you stop the pod; 1 h after your request if the provider is gone',
      '  note       cpu is dearer than announced',
      '  sends      the deposit, to the escrow',
      '             the manifest, to the attested machine',
      '  valid      until 2030-01-01T00:00:00.000Z; the place is not kept: somebody else may take it first',
    ].join('\n'),
  )
})

test('a plan says how long the place is kept', () => {
  const last = (plan: Plan) => formatPlan(plan, coloursFor(false)).split('\n').at(-1)
  assert.match(last({ ...PLAN, heldUntil: PLAN.quoteExpiresAt }) ?? '', /Z; the place is kept as long$/)
  const heldUntil = new Date('2029-12-31T23:59:00Z')
  assert.match(last({ ...PLAN, heldUntil }) ?? '', /; the place is kept until 2029-12-31T23:59:00\.000Z$/)
  assert.deepEqual(planJson({ ...PLAN, heldUntil }).heldUntil, heldUntil)
})

test('SIMULATED stands in red', () => {
  assert.ok(formatPlan(PLAN, coloursFor(true)).includes('\u001b[31mSIMULATED - NOT CONFIDENTIAL\u001b[0m'))
})

test('as JSON money is digits and nothing of the wire format shows', () => {
  const json = toJsonLine(planJson(PLAN))
  assert.doesNotMatch(json, /typeName/)
  const plan = JSON.parse(json)
  assert.equal(plan.deposit, '1000000')
  assert.equal(plan.costPerHour, '22500')
  assert.equal(plan.evidence.simulated, true)
  assert.equal(plan.sends.length, 2)
})

test('in red: a quote above the announcement, a deposit that the provider raised', () => {
  const dearer = { ...PLAN, announcedRatePerHour: 23n, depositRaisedFrom: 23_500n }
  const lines = formatPlan(dearer, coloursFor(false)).split('\n')
  assert.ok(lines.includes('  warning    the quote is 0.0235 USDC per hour, announced were 0.000023 USDC'))
  assert.ok(lines.includes('  warning    the provider takes 1 USDC at least: the deposit was raised from 0.0235 USDC'))
  const painted = formatPlan(dearer, coloursFor(true))
  for (const warning of ['the quote is', 'the provider takes']) assert.ok(painted.includes(`\u001b[31m${warning}`))
  const json = planJson(dearer)
  assert.deepEqual([json.announcedRatePerHour, json.depositRaisedFrom], ['23', '23500'])
  const asAnnounced = { ...PLAN, announcedRatePerHour: PLAN.ratePerHour }
  assert.doesNotMatch(formatPlan(asAnnounced, coloursFor(false)), /^ {2}warning/m)
})

test("a provider's names cannot write over the cost or over SIMULATED", () => {
  const evil = '\u001b[9A\u001b[2Kcpu\r\u009b1A\u202e'
  const [price] = PLAN.pricing.prices
  const text = formatPlan(
    {
      ...PLAN,
      provider: { ...PLAN.provider, region: evil, sandbox: evil },
      resources: [create(ResourceSchema, { name: evil, quantity: 1n, selector: evil })],
      pricing: { ...PLAN.pricing, prices: price ? [{ ...price, resource: evil, selector: evil }] : [] },
      priceChanges: [`${evil} was not announced`],
    },
    coloursFor(false),
  )
  assert.doesNotMatch(text.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
  assert.match(text, /note {8}\[9A \[2Kcpu 1A {1,2}was not announced/)
})

test('a plan tells what traffic may come to, and that its allowance is for an hour', () => {
  const egress = create(ResourceSchema, { name: 'egress-bandwidth', quantity: 10n * 2n ** 30n })
  const plan = { ...PLAN, resources: [...PLAN.resources, egress], costOfTrafficPerHour: 100_000n }
  const text = formatPlan(plan, coloursFor(false))
  assert.match(text, /egress-bandwidth 10 GiB per hour/)
  assert.match(text, /once for the start, and up to 0\.1 USDC per hour for traffic/)
})
