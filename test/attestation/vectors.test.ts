/** The commands that judge vectors and changed evidence, on our own vectors; and that they can fail. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { appraise } from '@trusted-pods/protocol/attestation/appraise.ts'
import { isBroken, readVectors, type Vector } from '../support/vectors/vector.ts'

const root = resolve(import.meta.dirname, '../..')
const own = join(root, 'test/vectors')

function run(script: string, ...args: string[]) {
  const flags = ['--conditions=@trusted-pods/source', join(root, 'scripts', script)]
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, ...args], { encoding: 'utf8' })
  return { status, lines: stdout.trimEnd().split('\n'), stderr }
}

/** A copy of the vectors whose cases are edited. */
function spoiled(t: TestContext, edit: (cases: Record<string, unknown>[]) => void): string {
  const folder = mkdtempSync(join(tmpdir(), 'tp-vectors-'))
  t.after(() => rmSync(folder, { recursive: true }))
  cpSync(join(own, 'snp'), folder, { recursive: true })
  const path = join(folder, 'cases.json')
  const file = JSON.parse(readFileSync(path, 'utf8')) as { cases: Record<string, unknown>[] }
  edit(file.cases)
  writeFileSync(path, JSON.stringify(file))
  return folder
}

test('every vector of ours is judged right', () => {
  const { status, lines, stderr } = run('vectors.ts', own)
  assert.deepEqual(lines, ['16 passed, 0 failed'], stderr)
  assert.equal(status, 0)
})

test('a wrong tier, a wrong code, an unknown policy key and a missing file are one line each', (t) => {
  const folder = spoiled(t, (cases) => {
    Object.assign(cases[0] ?? {}, { expected: 'warning' })
    Object.assign(cases[2] ?? {}, { codes: ['policy.debug'] })
    Object.assign(cases[3] ?? {}, { policy: { colour: 'red' } })
    Object.assign(cases[4] ?? {}, { report: 'nowhere.bin' })
  })
  const { status, lines } = run('vectors.ts', folder)
  assert.equal(status, 1)
  assert.equal(lines.length, 5)
  assert.equal(lines[0], 'ok-vcek: expected warning [], got affirming []')
  assert.match(
    lines[1] ?? '',
    /^mask-chip-id: expected .*policy\.debug.* got contraindicated \[chain\.chip-id-mismatch\]$/,
  )
  assert.match(lines[2] ?? '', /^mask-chip-key: .*colour/)
  assert.match(lines[3] ?? '', /^vlek-mask-chip-key: .*nowhere\.bin/)
  assert.equal(lines[4], '12 passed, 4 failed')
})

test('a folder without a case is no success', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tp-vectors-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const { status, lines } = run('vectors.ts', folder)
  assert.deepEqual([status, lines], [1, ['0 passed, 0 failed']])
})

async function readVector(id: string): Promise<Vector> {
  const vector = (await readVectors(own)).find((candidate) => candidate.id === id)
  assert.ok(vector && !isBroken(vector))
  return vector
}

test('of a report whose version is not known nothing but the version is said', async () => {
  const { evidence, options } = await readVector('version-6')
  const { checks } = await appraise(evidence, options)
  const refused = checks.filter(({ tier }) => tier === 'contraindicated').map(({ code }) => code)
  assert.deepEqual(refused, ['format.version', 'format.unsupported'])
  assert.equal(checks.find(({ code }) => code === 'signature.invalid')?.tier, 'none')
})

test('changed evidence is refused without an exception, the same for the same seed', () => {
  const { status, lines, stderr } = run('fuzz-evidence.ts', '--count', '600', '--seed', '7', own)
  assert.equal(lines.at(-1), '600 passed, 0 failed', `${lines.join('\n')}\n${stderr}`)
  assert.equal(status, 0)
  const tell = () => run('fuzz-evidence.ts', '--only', '5', '--seed', '7', own).stderr.split('\n')[0]
  assert.match(tell() ?? '', /^case 5 \(/)
  assert.equal(tell(), tell())
})
