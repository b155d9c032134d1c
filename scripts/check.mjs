// Everything that is checked without running the product. One line per tool; the first words of a failure are the tool's own.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = (name) => join(root, 'node_modules', '.bin', name)
const node24 = [process.execPath, join(root, 'scripts', 'node24.mjs')]

const CHECKS = [
  ['proto: lint', [bin('buf'), 'lint']],
  ['proto: breaking against main', [process.execPath, join(root, 'scripts', 'check-breaking.mjs')]],
  ['proto: generated code is committed', [process.execPath, join(root, 'scripts', 'check-generated.mjs')]],
  ['contracts: generated ABIs are committed', [...node24, 'scripts/build-contracts.ts', '--check']],
  ['biome: format, lint, layering, cycles', [bin('biome'), 'ci', '--reporter=summary', '--colors=off', '.']],
  ['tsc: Node and tests', [bin('tsc'), '-p', 'tsconfig.json']],
  ['tsc: protocol and publisher without Node', [bin('tsc'), '-p', 'tsconfig.browser.json']],
  ['oxlint: promises, switches', [bin('oxlint'), '--type-aware', '--quiet', 'packages', 'test', 'demo', 'bench']],
  ['knip: dead code, dependencies', [bin('knip')]],
]

let failed = 0
for (const [name, [program, ...args]] of CHECKS) {
  const began = performance.now()
  const path = `${join(root, 'node_modules', '.bin')}:${process.env.PATH}`
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PATH: path },
  })
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  process.stdout.write(`${status === 0 ? '✔' : '✘'} ${name} (${seconds} s)\n`)
  if (status === 0) continue
  failed++
  process.stdout.write(`${stdout ?? ''}${stderr ?? ''}\n`)
}
process.exit(failed === 0 ? 0 : 1)
