/** Running pods with funded channels on a real chain, and the provider's money for them, with a boot clock that the test moves. */
import assert from 'node:assert/strict'
import { create, toBinary } from '@bufbuild/protobuf'
import { fromAddress, ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { openChannel, readChannel } from '@trusted-pods/protocol/chain/escrow.ts'
import { toProtoChannel } from '@trusted-pods/protocol/channel/payment-channel.ts'
import { type ChannelTerms, channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { QuoteSchema, SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { PaymentChannelSchema, PaymentTermsSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { PriceKind, PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { linkTo } from '@trusted-pods/provider/chain-link.ts'
import { Changes } from '@trusted-pods/provider/changes.ts'
import { Charger } from '@trusted-pods/provider/charger.ts'
import { Claimer } from '@trusted-pods/provider/claimer.ts'
import { findOpening } from '@trusted-pods/provider/deposit-watch.ts'
import { Journal } from '@trusted-pods/provider/journal.ts'
import { Meter } from '@trusted-pods/provider/meter.ts'
import { Settler } from '@trusted-pods/provider/settler.ts'
import { type Address, toHex } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import type { DevChain } from './dev-chain.ts'
import { memoryLog } from './memory-log.ts'

export const METER = privateKeyToAccount(generatePrivateKey())
/** 36 base units a second. */
export const RATE = 129_600n
export const DEPOSIT = 100_000n
export const GRACE_MS = 60_000
export const KEEP_MS = 3_600_000
export const UNLOCK_SECONDS = 3600

export interface PaidPodsOptions {
  /** The provider's way to the chain. */
  readonly chain: Chain
  readonly payer: Chain
  readonly claimAtLeast?: bigint
  readonly coinPrice?: bigint
  /** How long a pod runs on without funds. */
  readonly fundsGraceMs?: number
}

export function openPaidPods(dev: DevChain, options: PaidPodsOptions) {
  const { chain, payer, claimAtLeast = 1_000n, coinPrice, fundsGraceMs = GRACE_MS } = options
  const place = { chainId: BigInt(payer.chainId), escrow: payer.escrow }
  const journal = new Journal(':memory:')
  let nowMs = 0
  const meter = new Meter({ journal, clock: { bootId: 'b', nowMs: () => nowMs }, account: METER })
  const log = memoryLog()
  const policy = {
    claimAtLeast,
    ...(coinPrice !== undefined && { coinPrice }),
    gasPercent: 100n,
    claimEverySeconds: 86_400,
    fundsGraceMs,
    keepDataMs: KEEP_MS,
    reorgPatienceMs: KEEP_MS,
    finalitySeconds: 0,
    riskTolerance: 0n,
  }
  const parts = { journal, meter, link: linkTo(chain), changes: new Changes(), log, ...policy }
  const charger = new Charger(parts)
  const claimer = new Claimer(parts)
  const started: string[] = []

  /** Running, so far as the money knows; accepted alone where there is a manifest to run. */
  async function startPod({
    rate = RATE,
    acceptedAtMs = Date.now(),
    meterAddress = METER.address,
    pod,
  }: PodOptions = {}) {
    const terms: ChannelTerms = {
      payer: dev.anvil.account(0).address,
      voucherSigner: ZERO_ADDRESS,
      provider: dev.anvil.account(1).address,
      meter: meterAddress,
      token: dev.config.token,
      ratePerHour: rate,
      unlockDelay: UNLOCK_SECONDS,
      podId: toHex(crypto.getRandomValues(new Uint8Array(32))),
    }
    const podId = channelId(terms, place).slice(2)
    const { transaction } = await openChannel(payer, terms, { deposit: DEPOSIT })
    const opening = await findOpening(payer, transaction)
    journal.insert({
      podId,
      publisher: 'p',
      idempotencyKey: podId,
      requestDigest: '',
      quote: quoteAt(dev, rate),
      termsPodId: terms.podId.slice(2),
      channel: toBinary(PaymentChannelSchema, toProtoChannel({ ...place, terms, openTransaction: transaction })),
      deposited: DEPOSIT,
      acceptedAtMs,
      ...(opening && { opening }),
      ...(pod && { pod }),
    })
    started.push(podId)
    if (!pod) journal.change(podId, { phase: 'running' })
    if (!pod) meter.start(podId)
    const state = async () => (await readChannel(payer, channelId(terms, place))) ?? assert.fail('no channel')
    return { podId, terms, state }
  }

  /** Lets time go by on the boot clock alone. */
  function passHere(seconds: number): void {
    nowMs += seconds * 1000
    for (const podId of started) meter.beat(podId)
  }

  /** Lets time go by on the boot clock and on the chain. */
  async function pass(seconds: number): Promise<void> {
    passHere(seconds)
    await dev.anvil.control.increaseTime({ seconds })
    await dev.anvil.control.mine({ blocks: 1 })
  }

  /** One look, the claims that follow from it, and what it means for the pod. */
  async function round(podId: string) {
    const view = await charger.look([podId])
    if (view) await claimer.claimDue(view)
    return await charger.review(podId, view)
  }

  const changes = parts.changes
  return {
    journal,
    meter,
    charger,
    claimer,
    settler: new Settler(parts),
    changes,
    log,
    startPod,
    pass,
    passHere,
    round,
  }
}

interface PodOptions {
  readonly rate?: bigint
  readonly acceptedAtMs?: number
  readonly meterAddress?: Address
  /** An encoded Pod. */
  readonly pod?: Uint8Array
}

function quoteAt(dev: DevChain, rate: bigint): Uint8Array {
  const pricing = create(PricingTableSchema, {
    chainId: BigInt(dev.config.chainId),
    token: fromAddress(dev.config.token),
    decimals: 6,
    symbol: 'tUSDC',
    prices: [
      { resource: 'cpu', kind: PriceKind.RESERVE, amount: rate.toString(), perQuantity: 1000n, perSeconds: 3600n },
    ],
  })
  const resources = [create(ResourceSchema, { name: 'cpu', quantity: 1000n })]
  const quote = create(QuoteSchema, { resources, pricing, payment: create(PaymentTermsSchema) })
  return toBinary(SignedQuoteSchema, create(SignedQuoteSchema, { quote: toBinary(QuoteSchema, quote) }))
}
