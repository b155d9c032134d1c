/**
 * Breaks the contracts on purpose, one fault at a time, and expects the contract tests to notice each: a fault that survives
 * is a rule without a test. Arguments narrow the list to mutants whose text contains them. Works on a copy in the temporary folder.
 */
import { spawnSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { ESCROW_MUTANTS } from './mutants/escrow.ts'
import type { Mutant } from './mutants/mutant.ts'
import { REGISTRY_MUTANTS } from './mutants/registry.ts'

const ROOT = dirname(import.meta.dirname)

async function prepare(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'trusted-pods-mutants-'))
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  await mkdir(join(folder, 'scripts'))
  await cp(join(ROOT, 'scripts/solc.mjs'), join(folder, 'scripts/solc.mjs'))
  const skipped = [join(ROOT, 'contracts/out'), join(ROOT, 'contracts/cache')]
  await cp(join(ROOT, 'contracts'), join(folder, 'contracts'), {
    recursive: true,
    filter: (path) => !skipped.includes(path),
  })
  // The plain code generator is several times quicker, and a fault shows in either.
  const config = join(folder, 'contracts/foundry.toml')
  await writeFile(config, (await readFile(config, 'utf8')).replace(/^compilation_restrictions = \[[^\]]*\]\n/m, ''))
  return folder
}

const MAX_OUTPUT_BYTES = 64 * 2 ** 20

/** Short chance walks: what only a long one finds is no test of one rule. */
const QUICK = { FOUNDRY_INVARIANT_RUNS: '4', FOUNDRY_FUZZ_RUNS: '32' }

/** Whether all tests pass on the copy. Throws when they did not run: a fault that does not compile proves nothing. */
function passes(folder: string): boolean {
  const forge = [join(ROOT, 'scripts/forge.mjs'), 'test', '--root', 'contracts', '--fail-fast']
  const { status, stdout, stderr } = spawnSync(process.execPath, forge, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, ...QUICK },
    maxBuffer: MAX_OUTPUT_BYTES,
  })
  if (status === null || !/^Ran \d+ test suites? in/m.test(stdout)) throw new Error(`no test ran: ${stdout}${stderr}`)
  return status === 0
}

async function survives(folder: string, file: string, [from, to]: Mutant): Promise<boolean> {
  const path = join(folder, 'contracts/src', file)
  const source = await readFile(path, 'utf8')
  if (source.split(from).length !== 2) throw new Error(`not exactly once in ${file}: ${from}`)
  await writeFile(
    path,
    source.replace(from, () => to),
  )
  try {
    return passes(folder)
  } finally {
    await writeFile(path, source)
  }
}

async function main(): Promise<void> {
  const words = process.argv.slice(2)
  const all = [
    ...ESCROW_MUTANTS.map((mutant) => ['PodEscrow.sol', mutant] as const),
    ...REGISTRY_MUTANTS.map((mutant) => ['ProviderRegistry.sol', mutant] as const),
  ]
  const chosen = all.filter(([, mutant]) => words.length === 0 || words.some((word) => mutant.join(' ').includes(word)))
  const folder = await prepare()
  let survivors = 0
  try {
    if (!passes(folder)) throw new Error('the tests fail on the contracts as they are')
    for (const [file, mutant] of chosen) {
      const alive = await survives(folder, file, mutant)
      if (alive) survivors++
      process.stdout.write(`${alive ? '✘ survived' : '✔ noticed '} ${file}: ${mutant[0]} → ${mutant[1]}\n`)
    }
  } finally {
    await rm(folder, { recursive: true })
  }
  process.stdout.write(`${chosen.length} faults, ${survivors} survived\n`)
  process.exitCode = survivors === 0 ? 0 : 1
}

await main()
