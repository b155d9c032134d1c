/** Claims of several channels in one transaction, on a real chain that does its worst. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Chain, type ConnectOptions, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { claim, requestClose } from '@trusted-pods/protocol/chain/escrow.ts'
import { podEscrowAbi } from '@trusted-pods/protocol/chain/gen/pod-escrow.ts'
import { memoryOutbox } from '@trusted-pods/protocol/chain/outbox.ts'
import { createWalletClient, http, parseGwei } from 'viem'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { DEPOSIT, openPaidPods, type PaidPodsOptions, UNLOCK_SECONDS } from '../../../test/support/paid-pods.ts'
import type { ChannelView } from './channel-view.ts'
import { claimReceipt } from './claimable.ts'

const PROVIDER = 1
/** Whose signatures are not those of the meter that claims. */
const OTHER_METER = `0x${'11'.repeat(20)}` as const

let dev: DevChain
let payer: Chain

before(async () => {
  dev = await startDevChain()
  await dev.mint(0, 100n * DEPOSIT)
  payer = await dev.connect(0)
})
after(() => dev[Symbol.asyncDispose]())

function connect(options: ConnectOptions = {}): Promise<Chain> {
  return connectChain(dev.config, { account: dev.anvil.account(PROVIDER), pollingIntervalMs: 20, ...options })
}

async function openPods(options: Partial<PaidPodsOptions> = {}) {
  return openPaidPods(dev, { chain: await connect(), payer, ...options })
}

type Pods = Awaited<ReturnType<typeof openPods>>
type Started = Awaited<ReturnType<Pods['startPod']>>

async function lookAt({ charger }: Pods, pods: readonly Started[]): Promise<ChannelView> {
  return (await charger.look(pods.map(({ podId }) => podId))) ?? assert.fail('the chain was not seen')
}

async function claimed(pods: readonly Started[]): Promise<bigint[]> {
  return Promise.all(pods.map(async ({ state }) => (await state()).claimed))
}

/** Transactions that the provider's account has had mined. */
function sentCount(): Promise<number> {
  return payer.public.getTransactionCount({ address: dev.anvil.account(PROVIDER).address, blockTag: 'latest' })
}

async function untilPending(count: number): Promise<void> {
  while ((await dev.anvil.control.getTxpoolStatus()).pending < count)
    await new Promise((resolve) => setTimeout(resolve, 5))
}

/** Mines by hand only while `act` runs. */
async function withoutMining(act: () => Promise<void>): Promise<void> {
  await dev.anvil.control.setAutomine(false)
  try {
    await act()
  } finally {
    await dev.anvil.control.setAutomine(true)
    await dev.anvil.control.mine({ blocks: 1 })
  }
}

test('what several channels owe is claimed in one transaction', async () => {
  const money = await openPods()
  const pods = [await money.startPod(), await money.startPod(), await money.startPod()]
  await money.pass(100)
  const before = await sentCount()
  await money.claimer.claimDue(await lookAt(money, pods))
  assert.deepEqual(await claimed(pods), [3_600n, 3_600n, 3_600n])
  assert.equal((await sentCount()) - before, 1)
  for (const { podId } of pods) assert.equal(money.journal.pod(podId)?.claimed, 3_600n)
})

test('a channel that the contract refuses is left out and told, and the others are claimed all the same', async () => {
  const money = await openPods()
  const good = [await money.startPod(), await money.startPod()]
  const bad = await money.startPod({ meterAddress: OTHER_METER })
  const last = await money.startPod()
  await money.pass(100)
  const before = await sentCount()
  await money.claimer.claimDue(await lookAt(money, [...good, bad, last]))
  assert.deepEqual(await claimed([...good, bad, last]), [3_600n, 3_600n, 0n, 3_600n])
  assert.equal((await sentCount()) - before, 1)
  const told = money.log.entries.filter(({ text }) => text === 'a claim is refused, and left out of its batch')
  assert.deepEqual(
    told.map(({ fields }) => [fields.pod, /BadSignature/.test(String(fields.reason))]),
    [[bad.podId, true]],
  )
})

test('a claim is for no more than the cap at the pending block, however far the meter runs ahead', async () => {
  const money = await openPods()
  const pods = [await money.startPod(), await money.startPod()]
  await money.pass(100)
  money.passHere(1_000)
  const view = await lookAt(money, pods)
  await money.claimer.claimDue(view)
  for (const { state } of pods) {
    const { claimed, openedAt } = await state()
    assert.equal(claimed, BigInt(view.pendingSeconds - openedAt) * 36n)
  }
})

test('a base fee that jumps while the batch waits: its fee is raised, and it is mined once', async () => {
  const money = await openPods({ chain: await connect({ raiseFeeAfterMs: 300 }) })
  const pods = [await money.startPod(), await money.startPod()]
  await money.pass(100)
  const view = await lookAt(money, pods)
  const before = await sentCount()
  await withoutMining(async () => {
    const claiming = money.claimer.claimDue(view)
    await untilPending(1)
    await dev.anvil.control.setNextBlockBaseFeePerGas({ baseFeePerGas: parseGwei('500') })
    await dev.anvil.control.mine({ blocks: 1 })
    assert.deepEqual(await claimed(pods), [0n, 0n])
    await untilMined(claiming)
  })
  assert.deepEqual(await claimed(pods), [3_600n, 3_600n])
  assert.equal((await sentCount()) - before, 1)
})

/** A block now and then, until the work is done. */
async function untilMined(work: Promise<void>): Promise<void> {
  let isDone = false
  const done = work.finally(() => {
    isDone = true
  })
  while (!isDone) {
    await dev.anvil.control.mine({ blocks: 1 })
    await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 50))])
  }
  await done
}

test('a batch that a process left on its way is waited for by the next one, and not sent a second time', async () => {
  const outbox = memoryOutbox()
  const money = await openPods({ chain: await connect({ outbox }) })
  const pods = [await money.startPod(), await money.startPod()]
  await money.pass(100)
  const view = await lookAt(money, pods)
  const before = await sentCount()
  const later = await connect({ outbox })
  await withoutMining(async () => {
    // The first process is never heard of again.
    void money.claimer.claimDue(view)
    await untilPending(1)
    money.passHere(50)
    const next = openPaidPods(dev, { chain: later, payer })
    for (const { podId } of pods) next.journal.insert(money.journal.pod(podId) ?? assert.fail('no pod'))
    const again = next.claimer.claimDue({ ...view, chain: later })
    await untilMined(again)
  })
  assert.deepEqual(await claimed(pods), [3_600n, 3_600n])
  assert.equal((await sentCount()) - before, 1)
})

test('a stranger who hands in the same receipt first, in the same block, does not sink the batch', async () => {
  const money = await openPods()
  const pods = [await money.startPod(), await money.startPod()]
  await money.pass(100)
  const view = await lookAt(money, pods)
  const [first] = pods
  assert.ok(first)
  const receipt = (await claimReceipt(first.podId, 3_600n, money)) ?? assert.fail('no receipt')
  const stranger = await connectChain(dev.config, { account: dev.anvil.account(5), pollingIntervalMs: 20 })
  await dev.anvil.control.setAutomine(false)
  const theirs = claim(stranger, first.terms, { receipt })
  await untilPending(1)
  const ours = money.claimer.claimDue(view)
  await untilPending(2)
  await dev.anvil.control.setAutomine(true)
  await dev.anvil.control.mine({ blocks: 1 })
  await Promise.all([theirs, ours])
  assert.deepEqual(await claimed(pods), [3_600n, 3_600n])
})

test('a close request that is seen late is claimed at once, at twice the market, and said aloud', async () => {
  const money = await openPods()
  const pod = await money.startPod()
  await money.pass(20)
  await requestClose(payer, pod.terms)
  // Unseen until five minutes before the refund.
  await dev.anvil.control.increaseTime({ seconds: UNLOCK_SECONDS - 300 })
  await dev.anvil.control.mine({ blocks: 1 })
  const view = await lookAt(money, [pod])
  const market = (await view.chain.public.estimateFeesPerGas()).maxFeePerGas
  await money.claimer.claimDue(view)
  assert.deepEqual(await claimed([pod]), [720n])
  assert.ok(money.log.entries.some(({ level, text }) => level === 'error' && /seen late/.test(text)))
  const block = await payer.public.getBlock({ includeTransactions: true })
  const [sent] = block.transactions
  assert.equal(sent?.maxFeePerGas, market * 2n)
})

test('a payer that finalises the close before the claim is mined costs the batch nothing but its own channel', async () => {
  const money = await openPods()
  const pods = [await money.startPod(), await money.startPod()]
  const [closing] = pods
  assert.ok(closing)
  await requestClose(payer, closing.terms)
  await money.pass(UNLOCK_SECONDS - 10)
  const view = await lookAt(money, pods)
  await dev.anvil.control.setAutomine(false)
  const ours = money.claimer.claimDue(view)
  await untilPending(1)
  const rich = createWalletClient({ account: dev.anvil.account(0), transport: http(dev.anvil.rpc) })
  await dev.anvil.control.setNextBlockTimestamp({ timestamp: BigInt(view.pendingSeconds + 20) })
  await rich.writeContract({
    address: payer.escrow,
    abi: podEscrowAbi,
    functionName: 'finalizeClose',
    args: [closing.terms],
    chain: null,
    gas: 200_000n,
    maxFeePerGas: parseGwei('2000'),
    maxPriorityFeePerGas: parseGwei('1000'),
  })
  await untilPending(2)
  await dev.anvil.control.setAutomine(true)
  await dev.anvil.control.mine({ blocks: 1 })
  await ours
  const [, open] = pods
  assert.equal((await closing.state()).closed, true)
  assert.ok(((await open?.state())?.claimed ?? 0n) > 0n)
})

test('gas that costs more than the claims leaves them for later, and a fall of its price makes them', async () => {
  // At 1 gwei a batch of two costs some 10^14 wei: here 1,030 base units.
  const money = await openPods({ coinPrice: 10n ** 7n, claimAtLeast: 100n })
  const pods = [await money.startPod(), await money.startPod()]
  await money.pass(100)
  const view = await lookAt(money, pods)
  await money.claimer.claimDue({ ...view, gasPrice: parseGwei('100') })
  assert.deepEqual(await claimed(pods), [0n, 0n])
  await money.claimer.claimDue({ ...view, gasPrice: parseGwei('1') })
  assert.deepEqual(await claimed(pods), [3_600n, 3_600n])
})

test('a chain unseen for so long that a payer could be refunded first is told aloud, with what is at risk', async (t) => {
  const money = await openPods()
  const pod = await money.startPod()
  await money.pass(100)
  const unseen = openPaidPods(dev, { chain: { ...payer, escrow: pod.terms.token }, payer })
  unseen.journal.insert(money.journal.pod(pod.podId) ?? assert.fail('no pod'))
  const now = performance.now() + (UNLOCK_SECONDS - 599) * 1000
  t.mock.method(performance, 'now', () => now)
  assert.equal(await unseen.charger.look([pod.podId]), undefined)
  const [said] = unseen.log.entries.filter(({ level }) => level === 'error')
  assert.match(said?.text ?? '', /payers may be refunded before a claim/)
  assert.equal(said?.fields.pods, 1)
})
