/**
 * Every TDX vector through our verifier and through @phala/dcap-qvl: prints each difference with its explanation, and fails on one
 * that has none and on an explanation that explains nothing any more. Then changed evidence: fails on what we alone accept.
 * differential-tdx.ts <folder in which @phala/dcap-qvl is installed> [--changed N] [--seed S]
 * Vectors: ours, and TRUSTED_PODS_VECTORS or ../shared/vectors.
 */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { appraise } from '@trusted-pods/protocol/attestation/appraise.ts'
import { changedVectors } from '../test/support/fuzz/changed-vectors.ts'
import { SHARED_VECTORS } from '../test/support/vectors/shared-vectors.ts'
import { isBroken, readVectors, type Vector } from '../test/support/vectors/vector.ts'
import { compare, type Difference, findDifference, isAcceptedByUsAlone } from './differential/compare.ts'
import { type DcapQvl, ORACLE, openDcapQvl } from './differential/dcap-qvl.ts'
import { DCAP_QVL_DIFFERENCES } from './differential/dcap-qvl-differences.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { changed: { type: 'string', default: '1000' }, seed: { type: 'string', default: '1' } },
})
const [folder, ...rest] = positionals
if (folder === undefined || rest.length > 0) fail(`usage: npm run -s differential:tdx -- <folder with ${ORACLE}>`)

const root = resolve(import.meta.dirname, '..')
const vectors = await readTdxVectors([join(root, 'test/vectors'), SHARED_VECTORS].filter((path) => existsSync(path)))
if (vectors.length === 0) fail(`no TDX vector in test/vectors and ${SHARED_VECTORS}: set TRUSTED_PODS_VECTORS`)
const oracle = openOracle(folder)
const found = await findDifferences()
const { unexplained, stale } = compare(found, DCAP_QVL_DIFFERENCES)
for (const difference of found) tell(difference)
for (const { id, ours, theirs } of stale) {
  process.stdout.write(`${id}: the explanation of ours ${ours}, theirs ${theirs} explains nothing any more\n`)
}
process.stdout.write(
  `${vectors.length} vectors, ${ORACLE} ${oracle.version}: ${found.length} differences, ` +
    `${unexplained.length} without explanation, ${stale.length} explanations too many\n`,
)
const alone = await findAcceptedAlone({ seed: Number(values.seed), count: Number(values.changed) })
for (const line of alone) process.stdout.write(`${line}\n`)
process.stdout.write(`${values.changed} changed, seed ${values.seed}: ${alone.length} that we alone accept\n`)
process.exitCode = unexplained.length + stale.length + alone.length === 0 ? 0 : 1

function fail(text: string): never {
  process.stderr.write(`${text}\n`)
  process.exit(2)
}

async function readTdxVectors(folders: readonly string[]): Promise<Vector[]> {
  const read = (await Promise.all(folders.map(readVectors))).flat()
  return read.filter((vector): vector is Vector => !isBroken(vector) && vector.kind === 'tdx')
}

function openOracle(path: string): DcapQvl {
  try {
    return openDcapQvl(path, vectors)
  } catch (error) {
    fail(`${path}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`)
  }
}

async function findDifferences(): Promise<Difference[]> {
  const differences: Difference[] = []
  for (const vector of vectors) {
    const difference = findDifference(vector.id, await appraise(vector.evidence, vector.options), oracle.ask(vector))
    if (difference !== undefined) differences.push(difference)
  }
  return differences
}

/** A vector that we alone accept and that is explained stays so where the change is of no matter. */
async function findAcceptedAlone(options: { seed: number; count: number }): Promise<string[]> {
  const explained = DCAP_QVL_DIFFERENCES.filter(({ ours }) => ours.startsWith('accepted')).map(({ id }) => id)
  const lines: string[] = []
  for (const changed of changedVectors(vectors, options)) {
    if (explained.includes(changed.id)) continue
    const verdict = await appraise(changed.evidence, changed.options)
    if (isAcceptedByUsAlone(verdict, oracle.ask(changed))) lines.push(`${changed.name}: accepted by us alone`)
  }
  return lines
}

function tell(difference: Difference): void {
  const isUnexplained = unexplained.includes(difference)
  const explanation = DCAP_QVL_DIFFERENCES.find(({ id }) => id === difference.id)
  process.stdout.write(`${difference.id}: ours ${difference.ours}; theirs ${difference.theirs}\n`)
  if (isUnexplained || explanation === undefined) process.stdout.write('  NO EXPLANATION\n')
  else process.stdout.write(`  ${explanation.why}\n  rule: ${explanation.rule}\n`)
}
