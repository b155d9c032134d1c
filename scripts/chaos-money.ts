/** `npm run -s chaos:money -- --rounds N --seed S`: kills publisher, provider and chain, and breaks the RPC endpoint, at random moments, and checks the sums of each round. */
import { parseArgs } from 'node:util'
import { startMarket } from '../test/chaos/market.ts'
import { moneyChaos } from '../test/chaos/money.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
})
const [rounds, seed] = [Number(values.rounds), Number(values.seed)]
if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed))
  throw new Error('--rounds and --seed are whole numbers')

process.stdout.write(`${rounds} rounds with seed ${seed}\n`)
await using market = await startMarket()
const { kills, earned, batches } = await moneyChaos(market, {
  rounds,
  seed,
  report: (text) => process.stdout.write(`${text}\n`),
})
const told = Object.entries(kills).map(([victim, times]) => `${victim} ${times}`)
process.stdout.write(
  `all sums hold; killed: ${told.join(', ')}; earned ${earned} base units; ${batches} batched claims\n`,
)
