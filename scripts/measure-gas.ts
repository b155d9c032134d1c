/**
 * Measures what every action costs on a real chain (gas of whole transactions, from receipts) and writes contracts/gas.md;
 * with `--check` fails when the committed table differs or a limit is passed. All inputs are fixed, so the figures repeat.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { startAnvil } from '../test/support/anvil.ts'
import { measureEscrow } from './gas/escrow.ts'
import { measureRegistry } from './gas/registry.ts'
import { type Costs, connect } from './gas/session.ts'

const FILE = join(dirname(import.meta.dirname), 'contracts/gas.md')

/**
 * Action → most gas that it may cost, and what the nearest action costs in the payment contract of the project's ancestor
 * (comrade-coop/apocryph, which checks no signature). A change that passes a limit has to change it here, in the open.
 */
const ACTIONS: { readonly [action: string]: { readonly limit: number; readonly ancestor?: number } } = {
  'deploy PodEscrow': { limit: 2_400_000, ancestor: 980_900 },
  'open, first with this token': { limit: 119_000, ancestor: 112_159 },
  open: { limit: 105_000, ancestor: 95_059 },
  'permit and open in one transaction': { limit: 135_000, ancestor: 141_389 },
  'open by a relayed EIP-3009 authorisation': { limit: 135_000 },
  'top up': { limit: 62_000, ancestor: 55_945 },
  'claim, first of this provider': { limit: 70_000, ancestor: 86_793 },
  claim: { limit: 53_000, ancestor: 52_593 },
  'redeem a voucher': { limit: 52_000 },
  'claimBatch of 10': { limit: 250_000, ancestor: 525_930 },
  'each further claim in a batch': { limit: 25_000, ancestor: 52_593 },
  'withdraw all': { limit: 59_000 },
  requestClose: { limit: 35_000, ancestor: 51_824 },
  'finalizeClose with a refund': { limit: 60_000, ancestor: 52_620 },
  'withdraw a refund': { limit: 42_000 },
  'withdraw a refund for somebody': { limit: 42_000 },
  'settleClose by the provider': { limit: 61_000 },
  'settleClose by the payer, with a last payment': { limit: 77_000 },
  'move a deposit to new terms in one transaction': { limit: 140_000 },
  'deploy ProviderRegistry': { limit: 1_200_000 },
  'announce 600 bytes, new row': { limit: 115_000, ancestor: 173_361 },
  'announce 600 bytes, update': { limit: 53_000 },
  'announceCid with a bond, new row': { limit: 120_000, ancestor: 89_552 },
  'announceCid, update': { limit: 40_500 },
  'exit the registry': { limit: 30_000 },
  'remove from the registry, with a bond': { limit: 55_000 },
}

async function measure(): Promise<Costs> {
  await using anvil = await startAnvil()
  const session = await connect(anvil)
  return new Map([...(await measureEscrow(session)), ...(await measureRegistry(session))])
}

function toTable(costs: Costs): string {
  const rows = Object.entries(ACTIONS).map(([action, { limit, ancestor }]) => {
    const gas = costs.get(action)
    if (gas === undefined) throw new Error(`nothing measured for "${action}"`)
    return [action, format(gas), format(limit), ancestor === undefined ? '' : format(ancestor)]
  })
  return [
    '# Gas',
    '',
    'Whole transactions, intrinsic gas and calldata included, from receipts on anvil. Written by `scripts/measure-gas.ts`,',
    'which fails when a limit is passed. A claim adds to credit that the provider already has, unless it says "first".',
    '`ancestor`: the nearest action of the contracts of comrade-coop/apocryph, which check no signature (10 claims one by one;',
    'provider and price table registered by two transactions, no record on chain).',
    '',
    ...alignColumns(['action', 'gas', 'limit', 'ancestor'], rows),
    '',
  ].join('\n')
}

/** A Markdown table as the formatter would leave it: the first column to the left, numbers to the right. */
function alignColumns(head: string[], rows: string[][]): string[] {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: string[]) => {
    const padded = cells.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    )
    return `| ${padded.join(' | ')} |`
  }
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), line(rule), ...rows.map(line)]
}

function format(gas: bigint | number): string {
  return gas.toString().replace(/\B(?=(\d{3})+$)/g, ',')
}

function findExceeded(costs: Costs): string[] {
  const over = Object.entries(ACTIONS).filter(([action, { limit }]) => (costs.get(action) ?? 0n) > limit)
  return over.map(([action, { limit }]) => `${action} costs ${costs.get(action)}, limit ${limit}`)
}

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })
const costs = await measure()
const table = toTable(costs)
const faults = findExceeded(costs)
process.stdout.write(table)
if (!values.check) await writeFile(FILE, table)
else if ((await readFile(FILE, 'utf8')) !== table) faults.push('contracts/gas.md is stale: run scripts/measure-gas.ts')
for (const fault of faults) process.stderr.write(`${fault}\n`)
process.exitCode = faults.length === 0 ? 0 : 1
