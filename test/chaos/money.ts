/**
 * Rounds of deploy and stop in which publisher, provider and chain are killed at random moments. After each round every unit is where
 * it belongs: nothing made, nothing lost, nothing stuck, and the provider has no more than its rate and the time allow.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { credit } from '@trusted-pods/protocol/chain/escrow.ts'
import { podEscrowAbi } from '@trusted-pods/protocol/chain/gen/pod-escrow.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { type Address, createTestClient, http } from 'viem'
import type { Fault } from '../support/faulty-rpc.ts'
import { type Random, randomOf } from '../support/fuzz/random.ts'
import type { Finished, Market } from './market.ts'

export interface ChaosOptions {
  readonly rounds: number
  readonly seed: number
  readonly report: (text: string) => void
}

export interface ChaosTotals {
  readonly rounds: number
  readonly kills: Record<Victim, number>
  /** What the provider earned, base units. */
  readonly earned: bigint
  /** Transactions that claimed from several channels at once. */
  readonly batches: number
}

export const VICTIMS = ['publisher', 'provider', 'anvil', 'rpc'] as const
export type Victim = (typeof VICTIMS)[number]

/** Deploying takes some 5 s here; a kill may also come after it. */
const KILL_WITHIN_MS = 7_000
/** Everybody has to come to rest in this time once nobody is killed any more. */
const REST_MS = 180_000
/** Times that `stop` is asked: each may end with "not known yet". */
const STOP_TRIES = 40

interface Balances {
  readonly payer: bigint
  readonly provider: bigint
  readonly escrow: bigint
  readonly payerCredit: bigint
  readonly providerCredit: bigint
}

export async function moneyChaos(market: Market, { rounds, seed, report }: ChaosOptions): Promise<ChaosTotals> {
  const kills: Record<Victim, number> = { publisher: 0, provider: 0, anvil: 0, rpc: 0 }
  const start = await balancesOf(market)
  const total = start.payer + start.provider + start.escrow
  for (let round = 1; round <= rounds; round++) {
    const before = await balancesOf(market)
    const beganAt = performance.now()
    const victims = await playRound(market, randomOf(seed, round))
    for (const victim of victims) kills[victim]++
    const after = await untilAtRest(market, total)
    const seconds = (performance.now() - beganAt) / 1000
    requireFair(before, after, { total, seconds })
    report(
      `round ${round}: killed ${victims.join(', ') || 'nobody'}; ${earned(before, after)} earned in ${seconds.toFixed(1)} s, sums hold`,
    )
  }
  return { rounds, kills, earned: earned(start, await balancesOf(market)), batches: await countBatches(market) }
}

/** One lease, or two side by side, from deployment to refund, with up to two kills at each step. */
async function playRound(market: Market, random: Random): Promise<Victim[]> {
  const hello = join(market.places.root, 'examples/hello/trustedpods.yml')
  const killed: Victim[] = []
  const withKills = async (args: string[]) => {
    const command = market.cli(...args)
    const plan = Array.from({ length: random.below(3) }, () => ({
      afterMs: random.below(KILL_WITHIN_MS),
      victim: random.pick(VICTIMS),
    }))
    const crashes = plan.map(async ({ afterMs, victim }) => {
      const over = await Promise.race([command.done.then(() => true), sleep(afterMs).then(() => false)])
      if (over) return
      killed.push(victim)
      await serially(() => crash(market, { command, victim, random }))
    })
    await Promise.all([command.done, ...crashes])
  }
  const manifests = random.below(2) === 0 ? [hello] : [hello, market.twin]
  await Promise.all(manifests.map((manifest) => withKills(['deploy', manifest, '--yes', '--hours', '1', '--quiet'])))
  // Long enough for claims of both.
  if (manifests.length > 1) await sleep(LEAST_TOGETHER_MS + random.below(MOST_TOGETHER_MS))
  for (const lease of await liveLeases(market)) {
    if (random.below(10) < 4) await withKills(['deploy', '--resume', lease, '--quiet'])
    await withKills(['stop', lease, '--yes', '--quiet'])
  }
  await endAll(market)
  return killed
}

let last: Promise<unknown> = Promise.resolve()

/** Two crashes of one process at once would be none. */
function serially(act: () => Promise<void>): Promise<void> {
  const mine = last.then(act)
  last = mine.catch(() => undefined)
  return mine
}

interface Crash {
  readonly command: { kill(): void }
  readonly victim: Victim
  readonly random: Random
}

async function crash(market: Market, { command, victim, random }: Crash): Promise<void> {
  if (victim === 'publisher') command.kill()
  else if (victim === 'provider') await market.crashProvider()
  else if (victim === 'anvil') await market.crashAnvil()
  else {
    market.rpc.fail(random.pick(FAULTS))
    await sleep(random.below(MOST_FAULT_MS))
    market.rpc.fail('pass')
  }
}

/** Those of which a program can be told apart from a chain that has nothing for it. */
const FAULTS: readonly Fault[] = [
  'status-500',
  'truncated',
  'not-json',
  'hang-up',
  'lose-answer',
  'rate-limit',
  'hang',
  'stale',
  'wrong-chain',
]
const MOST_FAULT_MS = 4_000
/** Claims are due after some 5 s: a round of them falls into it. */
const LEAST_TOGETHER_MS = 8_000
const MOST_TOGETHER_MS = 6_000

async function countBatches({ demo: { chain } }: Market): Promise<number> {
  const logs = await chain.public.getContractEvents({
    address: chain.escrow,
    abi: podEscrowAbi,
    eventName: 'Claimed',
    fromBlock: 0n,
  })
  const byTransaction = Map.groupBy(logs, ({ transactionHash }) => transactionHash)
  return [...byTransaction.values()].filter((claims) => claims.length > 1).length
}

async function liveLeases(market: Market): Promise<string[]> {
  const { code, stdout, stderr } = await market.cli('ls', '-o', 'json').done
  assert.equal(code, 0, stderr)
  return (JSON.parse(stdout) as { lease: string }[]).map(({ lease }) => lease)
}

/** Whatever state a lease is in, asking often enough ends it; a delay that must pass is made to pass on the chain. */
async function endAll(market: Market): Promise<void> {
  const { rpc } = market.demo
  const control = createTestClient({ mode: 'anvil', transport: http(rpc) })
  let said: Finished | undefined
  for (let tries = 1; tries <= STOP_TRIES; tries++) {
    const [lease] = await liveLeases(market)
    if (lease === undefined) return
    said = await market.cli('stop', lease, '--yes', '--quiet', '-o', 'json').done
    if (said.stdout.includes('"closing"')) {
      await control.increaseTime({ seconds: 3_700 })
      await control.mine({ blocks: 1 })
    }
    if (said.code !== 0) await sleep(1_000)
  }
  assert.fail(`a lease does not end: ${said?.code} ${said?.stdout} ${said?.stderr}`)
}

async function balancesOf({ demo }: Market): Promise<Balances> {
  const { chain, token, provider, publisher } = demo
  const of = (account: Address) => tokenBalance(chain, { token, account })
  const creditOf = (account: Address) => credit(chain, { token, account })
  const [payer, earnings, escrow, payerCredit, providerCredit] = await Promise.all([
    of(publisher.address),
    of(provider.address),
    of(chain.escrow),
    creditOf(publisher.address),
    creditOf(provider.address),
  ])
  return { payer, provider: earnings, escrow, payerCredit, providerCredit }
}

/** At rest nothing is in a channel: the escrow holds credits alone, and the payer's are fetched by one command. */
async function untilAtRest(market: Market, total: bigint): Promise<Balances> {
  const until = performance.now() + REST_MS
  for (;;) {
    const { code, stderr } = await market.cli('withdraw', '--quiet').done
    const seen = await balancesOf(market)
    if (
      code === 0 &&
      seen.payer + seen.provider + seen.escrow === total &&
      seen.payerCredit === 0n &&
      seen.escrow === seen.providerCredit
    )
      return seen
    if (performance.now() > until) assert.fail(`not at rest: ${describe(seen)}; withdraw ended with ${code}: ${stderr}`)
    await sleep(1_000)
  }
}

/** The quotes of two examples/hello at examples/provider/prices.yaml are below a tenth of a token an hour. */
const MOST_PER_HOUR = 100_000

function requireFair(before: Balances, after: Balances, { total, seconds }: { total: bigint; seconds: number }): void {
  assert.equal(after.payer + after.provider + after.escrow, total, `units were made or lost: ${describe(after)}`)
  const gain = earned(before, after)
  assert.equal(
    before.payer + before.payerCredit - after.payer - after.payerCredit,
    gain,
    'what the payer paid is not what the provider got',
  )
  assert.ok(gain >= 0n, `the provider lost ${-gain}`)
  const most = BigInt(Math.ceil((seconds * MOST_PER_HOUR) / 3600))
  assert.ok(gain <= most, `the provider got ${gain} for ${seconds.toFixed(1)} s, at most ${most} are the rate`)
}

function earned(before: Balances, after: Balances): bigint {
  return after.provider + after.providerCredit - before.provider - before.providerCredit
}

function describe(balances: Balances): string {
  return Object.entries(balances)
    .map(([name, units]) => `${name} ${units}`)
    .join(', ')
}
