import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startMarket } from './market.ts'
import { moneyChaos } from './money.ts'

test('whoever is killed, after each round every unit is accounted for', { timeout: 420_000 }, async (t) => {
  await using market = await startMarket()
  const { rounds } = await moneyChaos(market, { rounds: 2, seed: 7, report: (text) => t.diagnostic(text) })
  assert.equal(rounds, 2)
})
