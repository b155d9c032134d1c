/**
 * Breaks the contracts on purpose, one fault at a time, and expects the contract tests to notice each: a fault that survives
 * is a rule without a test. Prints each fault with the test that noticed it. Arguments narrow the list to mutants whose text
 * contains them; with --list nothing is run.
 */
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { copyContracts, ROOT } from './contracts-copy.ts'
import { ESCROW_MUTANTS } from './mutants/escrow.ts'
import type { Mutant } from './mutants/mutant.ts'
import { REGISTRY_MUTANTS } from './mutants/registry.ts'

const MAX_OUTPUT_BYTES = 64 * 2 ** 20

/** Short chance walks: what only a long one finds is no test of one rule. */
const QUICK = { FOUNDRY_INVARIANT_RUNS: '4', FOUNDRY_FUZZ_RUNS: '32' }

/** A failed unit or fuzz test; or the invariant that a failed walk broke, below the steps that led there. */
const FAILED = /^\[FAIL.*\]\s+(\w+)\(|^\s+(invariant_\w+)\(\) \(runs/gm

/** The tests that fail on the copy, none when all pass. Throws when they did not run: a fault that does not compile proves nothing. */
function failingTests(folder: string): string[] {
  const forge = [join(ROOT, 'scripts/forge.mjs'), 'test', '--root', 'contracts', '--fail-fast']
  const { status, stdout, stderr } = spawnSync(process.execPath, forge, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, ...QUICK, NO_COLOR: '1' },
    maxBuffer: MAX_OUTPUT_BYTES,
  })
  if (status === null || !/^Ran \d+ test suites? in/m.test(stdout)) throw new Error(`no test ran: ${stdout}${stderr}`)
  if (status === 0) return []
  const names = [...stdout.matchAll(FAILED)].map(([, unit, invariant]) => unit ?? invariant ?? '')
  if (names.length === 0) throw new Error(`forge failed but names no test: ${stdout}`)
  return [...new Set(names)]
}

async function testsThatNotice(folder: string, file: string, [from, to]: Mutant): Promise<string[]> {
  const path = join(folder, 'contracts/src', file)
  const source = await readFile(path, 'utf8')
  if (source.split(from).length !== 2) throw new Error(`not exactly once in ${file}: ${from}`)
  await writeFile(
    path,
    source.replace(from, () => to),
  )
  try {
    return failingTests(folder)
  } finally {
    await writeFile(path, source)
  }
}

/** On one line, so that a list of faults reads as one. */
function describe([from, to]: Mutant): string {
  const short = (text: string) => JSON.stringify(text.replaceAll(/\s+/g, ' ').trim())
  return `${short(from)} → ${short(to)}`
}

async function main(): Promise<void> {
  const { values, positionals: words } = parseArgs({ options: { list: { type: 'boolean' } }, allowPositionals: true })
  const all = [
    ...ESCROW_MUTANTS.map((mutant) => ['PodEscrow.sol', mutant] as const),
    ...REGISTRY_MUTANTS.map((mutant) => ['ProviderRegistry.sol', mutant] as const),
  ]
  const chosen = all.filter(([, mutant]) => words.length === 0 || words.some((word) => mutant.join(' ').includes(word)))
  if (values.list)
    return void process.stdout.write(chosen.map(([file, mutant]) => `${file}: ${describe(mutant)}\n`).join(''))
  await using copy = await copyContracts()
  const failing = failingTests(copy.folder)
  if (failing.length > 0) throw new Error(`the tests fail on the contracts as they are: ${failing.join(', ')}`)
  let survivors = 0
  for (const [file, mutant] of chosen) {
    const noticed = await testsThatNotice(copy.folder, file, mutant)
    if (noticed.length === 0) survivors++
    process.stdout.write(`${noticed.length === 0 ? '✘ survived' : '✔ killed'} ${file}: ${describe(mutant)}\n`)
    if (noticed.length > 0) process.stdout.write(`    by ${noticed.join(', ')}\n`)
  }
  process.stdout.write(`${chosen.length} mutants, ${survivors} survived\n`)
  process.exitCode = survivors === 0 ? 0 : 1
}

await main()
