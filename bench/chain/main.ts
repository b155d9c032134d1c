/**
 * Gas beside the ancestor's; listing ten thousand providers; a claim decision for a thousand open channels. Nothing is asserted here:
 * read the figures beside their goals. main.ts [--providers 10000] [--channels 1000] [--no-gas]
 */
import { spawnSync } from 'node:child_process'
import { cpus, loadavg } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { measureClaims } from './claims.ts'
import { measureListing } from './listing.ts'
import type { Row } from './timed.ts'

const { values } = parseArgs({
  options: {
    providers: { type: 'string', default: '10000' },
    channels: { type: 'string', default: '1000' },
    'no-gas': { type: 'boolean', default: false },
  },
})

/** On the clock, and requests to the chain. */
const GOALS: readonly { readonly name: RegExp; readonly text: string }[] = [
  { name: /^list .* again$/, text: '500 ms' },
  { name: /^decide about/, text: '1,000 ms, 10 calls' },
]

function printGas(): void {
  const root = resolve(import.meta.dirname, '../..')
  const script = join(root, 'scripts/measure-gas.ts')
  const { stdout, stderr } = spawnSync(process.execPath, [...process.execArgv, script, '--check'], { encoding: 'utf8' })
  process.stdout.write(`${stdout}${stderr}\n`)
}

function format(row: Row): string {
  const ms = (value: number) => Math.round(value).toLocaleString('en')
  const goal = GOALS.find(({ name }) => name.test(row.name))?.text ?? ''
  const cells = [row.name, row.runs, ms(row.p50Ms), ms(row.bestMs), ms(row.cpuMs), Math.round(row.rpcCalls), goal]
  return `| ${cells.join(' | ')} |\n`
}

if (!values['no-gas']) printGas()
process.stdout.write(
  `# Time\n\n${cpus().length} cores (${cpus()[0]?.model}), load ${loadavg()[0]?.toFixed(1)}, Node ${process.version}\n\n`,
)
process.stdout.write('| | runs | p50 ms | best ms | own CPU ms | RPC calls | goal |\n|---|---|---|---|---|---|---|\n')
for (const row of await measureListing(Number(values.providers))) process.stdout.write(format(row))
process.stdout.write(format(await measureClaims(Number(values.channels))))
