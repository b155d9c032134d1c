/**
 * Measures what every action costs on a real chain (gas of whole transactions, from receipts) and writes contracts/gas.md;
 * with `--check` fails when the committed table differs or a limit is passed. All inputs are fixed, so the figures repeat.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { startAnvil } from '../test/support/anvil.ts'
import { type Costs, measureEscrow } from './gas/escrow.ts'
import { measureRegistry } from './gas/registry.ts'
import { connect } from './gas/session.ts'

const FILE = join(dirname(import.meta.dirname), 'contracts/gas.md')

/** Action → most gas that it may cost; a change that passes one has to change it here, in the open. */
const LIMITS: { readonly [action: string]: number } = {
  'deploy PodEscrow': 2_500_000,
  'open, first with this token': 120_000,
  open: 105_000,
  'permit and open in one transaction': 135_000,
  'open by a relayed EIP-3009 authorisation': 135_000,
  'top up': 62_000,
  'claim, first of this provider': 72_000,
  claim: 53_000,
  'redeem a voucher': 52_000,
  'claimBatch of 10': 250_000,
  'withdraw all': 60_000,
  requestClose: 35_000,
  'finalizeClose with a refund': 60_000,
  'withdraw a refund': 42_000,
  'settleClose by the provider': 61_000,
  'settleClose by the payer, with a last payment': 80_000,
  'move a deposit to new terms in one transaction': 140_000,
  'deploy ProviderRegistry': 1_200_000,
  'announce 600 bytes, first': 115_000,
  'announce 600 bytes, update': 60_000,
  'announceCid with a bond, first': 120_000,
  'announceCid, update': 41_000,
  'exit the registry': 35_000,
  'remove from the registry, with a bond': 60_000,
}

async function measure(): Promise<Costs> {
  await using anvil = await startAnvil()
  const session = await connect(anvil)
  return new Map([...(await measureEscrow(session)), ...(await measureRegistry(session))])
}

function toTable(costs: Costs): string {
  const rows = Object.entries(LIMITS).map(([action, limit]) => {
    const gas = costs.get(action)
    if (gas === undefined) throw new Error(`nothing measured for "${action}"`)
    return `| ${action} | ${format(gas)} | ${format(limit)} |`
  })
  return [
    '# Gas',
    '',
    'Whole transactions, intrinsic gas and calldata included, from receipts on anvil. Written by `scripts/measure-gas.ts`,',
    'which fails when a limit is passed. A claim adds to credit that the provider already has, unless it says "first".',
    '',
    '| action | gas | limit |',
    '|---|---:|---:|',
    ...rows,
    '',
  ].join('\n')
}

function format(gas: bigint | number): string {
  return gas.toString().replace(/\B(?=(\d{3})+$)/g, ',')
}

function findExceeded(costs: Costs): string[] {
  const over = Object.entries(LIMITS).filter(([action, limit]) => (costs.get(action) ?? 0n) > limit)
  return over.map(([action, limit]) => `${action} costs ${costs.get(action)}, limit ${limit}`)
}

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })
const costs = await measure()
const table = toTable(costs)
const faults = findExceeded(costs)
if (!values.check) await writeFile(FILE, table)
else if ((await readFile(FILE, 'utf8')) !== table) faults.push('contracts/gas.md is stale: run scripts/measure-gas.ts')
for (const fault of faults) process.stderr.write(`${fault}\n`)
process.exitCode = faults.length === 0 ? 0 : 1
