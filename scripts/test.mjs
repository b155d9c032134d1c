// All tests on Node 24: unit tests beside the sources, then what needs two sides, then the contracts. Arguments narrow it down:
// test.mjs [unit|e2e|contracts] [pattern…]
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findNode24, NODE_FLAGS } from '../packages/platform/bin/node24.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const [first, ...rest] = process.argv.slice(2)
const only = ['unit', 'e2e', 'contracts'].find((name) => name === first)
const patterns = only ? rest : process.argv.slice(2)

const run = (program, args) => spawnSync(program, args, { cwd: root, stdio: 'inherit' }).status === 0
// Two at a time: engines, chains and nodes are started by many of them.
const node = (...args) =>
  run(findNode24(), [...NODE_FLAGS, '--test', '--test-concurrency=2', '--test-timeout=300000', ...args])

const globs = { unit: ['packages/*/src/**/*.test.ts'], e2e: ['test/**/*.test.ts'] }
const chosen = patterns.length > 0 ? patterns : only ? globs[only] : [...globs.unit, ...globs.e2e]
let passed = true
if ((!only || only === 'contracts') && patterns.length === 0)
  passed = run(process.execPath, [join(root, 'scripts/forge.mjs'), 'test', '--root', 'contracts']) && passed
if (only !== 'contracts') passed = node(...chosen) && passed
process.exit(passed ? 0 : 1)
