/**
 * Judges attestation vectors of any folder by the verifier: one line for each case that is wrong, then the count.
 * vectors.ts <folder> [--verbose]. Form of the folder: test/vectors/README.md.
 */
import { parseArgs } from 'node:util'
import { judgeVector } from '../test/support/vectors/judge-vector.ts'
import { isBroken, readVectors } from '../test/support/vectors/vector.ts'

const { values, positionals } = parseArgs({ allowPositionals: true, options: { verbose: { type: 'boolean' } } })
const [folder, ...rest] = positionals
if (folder === undefined || rest.length > 0) {
  process.stderr.write('usage: npm run -s vectors -- <folder> [--verbose]\n')
  process.exit(2)
}

const vectors = await readVectors(folder)
let failed = 0
for (const vector of vectors) {
  const result = isBroken(vector) ? { wrong: vector.broken, tier: 'none', codes: [] } : await judgeVector(vector)
  if (result.wrong !== undefined) failed++
  if (result.wrong !== undefined) process.stdout.write(`${vector.id}: ${result.wrong}\n`)
  else if (values.verbose) process.stdout.write(`${vector.id}: ${result.tier} [${result.codes.join(', ')}]\n`)
}
process.stdout.write(`${vectors.length - failed} passed, ${failed} failed\n`)
// A folder without a case is a mistake, not a success.
process.exitCode = failed === 0 && vectors.length > 0 ? 0 : 1
