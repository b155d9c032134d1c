// Runs forge with these arguments and ends with its exit status, which the launcher of the npm package swallows: with that, a
// failing test looks like a passing one. Plain JavaScript that runs on Node 20.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'

const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch] ?? process.arch
const forge = createRequire(import.meta.url).resolve(`@foundry-rs/forge-${process.platform}-${architecture}/bin/forge`)
const { status, error } = spawnSync(forge, process.argv.slice(2), { stdio: 'inherit' })
if (error) throw error
process.exit(status ?? 1)
