// No wire-breaking change of proto/ against the main branch; a checkout without one says so and passes.
import { spawnSync } from 'node:child_process'

const base = ['origin/main', 'main'].find((ref) => git('rev-parse', '--verify', '--quiet', `${ref}:proto`).status === 0)
if (base === undefined) {
  process.stdout.write('no main branch with proto/ to compare with: skipped\n')
  process.exit(0)
}
const commit = git('rev-parse', base).stdout.trim()
const { status, stdout, stderr } = spawnSync('buf', ['breaking', '--against', `.git#ref=${commit}`], {
  encoding: 'utf8',
})
process.stdout.write(stdout)
process.stderr.write(stderr)
process.exit(status ?? 1)

function git(...args) {
  return spawnSync('git', args, { encoding: 'utf8' })
}
