/** Which lines and branches of the contracts the contract tests reach. Fails when one of a contract of ours is not reached. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { copyContracts, ROOT } from './contracts-copy.ts'

/** A row of forge's table: name, then lines, statements, branches and functions as "100.00% (7/7)". */
const ROW = /^\|\s*(src\/\S+)\s*\|(.*)$/gm

function findUncovered(table: string): string[] {
  const rows = [...table.matchAll(ROW)]
  if (rows.length === 0) throw new Error(`no coverage table: ${table}`)
  return rows.filter(([, , cells = '']) => /[0-9]%/.test(cells.replaceAll('100.00%', ''))).map(([, name = '']) => name)
}

await using copy = await copyContracts()
const report = ['--no-match-coverage', '^test/', '--report', 'summary']
const forge = [join(ROOT, 'scripts/forge.mjs'), 'coverage', '--root', 'contracts', ...report]
const { status, stdout, stderr } = spawnSync(process.execPath, forge, { cwd: copy.folder, encoding: 'utf8' })
if (status !== 0) throw new Error(`forge coverage failed: ${stdout}${stderr}`)
process.stdout.write(stdout.replaceAll(/^(?!\||╭|╰|\+).*\n/gm, ''))
const uncovered = findUncovered(stdout)
for (const name of uncovered) process.stderr.write(`not covered whole: ${name}\n`)
process.exitCode = uncovered.length === 0 ? 0 : 1
