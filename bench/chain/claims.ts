/** What to claim of a thousand open channels: one round of the provider's reviews, none of which finds a claim worth its gas. */
import { create, toBinary } from '@bufbuild/protobuf'
import { fromAddress, ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { type Chain, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { podEscrowAbi } from '@trusted-pods/protocol/chain/gen/pod-escrow.ts'
import { testTokenAbi } from '@trusted-pods/protocol/chain/gen/test-token.ts'
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
import { Journal } from '@trusted-pods/provider/journal.ts'
import { Meter } from '@trusted-pods/provider/meter.ts'
import { encodeFunctionData, maxUint256, toHex } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { startCountingRpc } from '../../test/support/counting-rpc.ts'
import { type DevChain, startDevChain } from '../../test/support/dev-chain.ts'
import { memoryLog } from '../../test/support/memory-log.ts'
import { SEEDABLE, sendAll } from './send-all.ts'
import { type Row, timed } from './timed.ts'

const RUNS = 5
const BATCH = 250
const DEPOSIT = 1_000_000_000n
const RATE = 36_000n
/** More than any of the channels owes. */
const CLAIM_AT_LEAST = 10n ** 12n
const RAN_MS = 1_000_000
const METER = privateKeyToAccount(generatePrivateKey())

export async function measureClaims(channels: number): Promise<Row> {
  await using dev = await startDevChain({ args: SEEDABLE })
  await using rpc = await startCountingRpc(dev.anvil.rpc)
  const chain = await connectChain({ ...dev.config, rpc: [rpc.rpc] }, { account: dev.anvil.account(1) })
  const terms = Array.from({ length: channels }, (_, pod) => termsOf(dev, pod))
  await openAll(dev, terms)
  const pods = startPods(chain, terms)
  await dev.anvil.control.increaseTime({ seconds: RAN_MS / 1000 })
  await dev.anvil.control.mine({ blocks: 1 })
  return await timed(
    `decide about the claims of ${channels.toLocaleString('en')} open channels`,
    RUNS,
    () => reviewAll(pods),
    rpc,
  )
}

async function reviewAll({ charger, claimer, podIds }: Pods): Promise<void> {
  const seen = await charger.look(podIds)
  if (!seen) throw new Error('the chain was not seen')
  await claimer.claimDue(seen)
  const verdicts = await Promise.all(podIds.map((podId) => charger.review(podId, seen)))
  const other = verdicts.find(({ kind }) => kind !== 'go-on')
  if (other) throw new Error(`a pod does not go on: ${JSON.stringify(other)}`)
}

function termsOf({ anvil, config }: DevChain, pod: number): ChannelTerms {
  return {
    payer: anvil.account(0).address,
    voucherSigner: ZERO_ADDRESS,
    provider: anvil.account(1).address,
    meter: METER.address,
    token: config.token,
    ratePerHour: RATE,
    unlockDelay: 3600,
    podId: toHex(pod + 1, { size: 32 }),
  }
}

async function openAll(dev: DevChain, terms: readonly ChannelTerms[]): Promise<void> {
  const { anvil, config } = dev
  const from = anvil.account(0).address
  await dev.mint(0, DEPOSIT * BigInt(terms.length))
  const approval = [config.escrow, maxUint256] as const
  const approve = encodeFunctionData({ abi: testTokenAbi, functionName: 'approve', args: approval })
  await sendAll(anvil, [{ from, to: config.token, data: approve }])
  const { public: reader } = await dev.connect(0)
  for (let i = 0; i < terms.length; i += BATCH) {
    const opens = terms.slice(i, i + BATCH).map((one) => {
      const data = encodeFunctionData({ abi: podEscrowAbi, functionName: 'open', args: [one, DEPOSIT] })
      return { from, to: config.escrow, data }
    })
    await sendAll(anvil, opens, await reader.getTransactionCount({ address: from }))
  }
}

interface Pods {
  readonly charger: Charger
  readonly claimer: Claimer
  readonly podIds: readonly string[]
}

/** All of them running for as long, in a journal. */
function startPods(chain: Chain, terms: readonly ChannelTerms[]): Pods {
  const journal = new Journal(':memory:')
  let nowMs = 0
  const meter = new Meter({ journal, clock: { bootId: 'b', nowMs: () => nowMs }, account: METER })
  const podIds = terms.map((one) => insertPod(journal, chain, one))
  for (const podId of podIds) meter.start(podId)
  nowMs = RAN_MS
  for (const podId of podIds) meter.beat(podId)
  const policy = {
    claimAtLeast: CLAIM_AT_LEAST,
    gasPercent: 5n,
    claimEverySeconds: 10 ** 9,
    finalitySeconds: 0,
    riskTolerance: 0n,
  }
  const patience = { fundsGraceMs: 60_000, keepDataMs: 60_000, reorgPatienceMs: 60_000 }
  const parts = {
    journal,
    meter,
    link: linkTo(chain),
    changes: new Changes(),
    log: memoryLog(),
    ...policy,
    ...patience,
  }
  return { charger: new Charger(parts), claimer: new Claimer(parts), podIds }
}

function insertPod(journal: Journal, chain: Chain, terms: ChannelTerms): string {
  const place = { chainId: BigInt(chain.chainId), escrow: chain.escrow }
  const podId = channelId(terms, place).slice(2)
  const price = { resource: 'cpu', kind: PriceKind.RESERVE, amount: `${RATE}`, perQuantity: 1000n, perSeconds: 3600n }
  const token = { chainId: place.chainId, token: fromAddress(terms.token), decimals: 6, symbol: 'tUSDC' }
  const pricing = create(PricingTableSchema, { ...token, prices: [price] })
  const resources = [create(ResourceSchema, { name: 'cpu', quantity: 1000n })]
  const quote = create(QuoteSchema, { resources, pricing, payment: create(PaymentTermsSchema) })
  const openTransaction = toHex(1, { size: 32 })
  journal.insert({
    podId,
    publisher: 'p',
    idempotencyKey: podId,
    requestDigest: '',
    quote: toBinary(SignedQuoteSchema, create(SignedQuoteSchema, { quote: toBinary(QuoteSchema, quote) })),
    termsPodId: terms.podId.slice(2),
    channel: toBinary(PaymentChannelSchema, toProtoChannel({ ...place, terms, openTransaction })),
    deposited: DEPOSIT,
    acceptedAtMs: Date.now(),
  })
  journal.change(podId, { phase: 'running' })
  return podId
}
