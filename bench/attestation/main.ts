/**
 * How long an appraisal takes beside the floor of its public-key operations and beside other verifiers, in one run.
 * main.ts [--runs 300] [--json]. Nothing is asserted: read the ratios. Vectors: TRUSTED_PODS_VECTORS or ../shared/vectors.
 */
import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { appraise } from '@trusted-pods/protocol/attestation/appraise.ts'
import { SHARED_VECTORS } from '../../test/support/vectors/shared-vectors.ts'
import { isBroken, readVectors, type Vector } from '../../test/support/vectors/vector.ts'
import { p256, p384, repeat, rsa4096Pss } from './floor.ts'
import { measure, type Subject, type Times } from './measure.ts'
import { opensslSpeed } from './openssl-speed.ts'
import { openPeers } from './peers.ts'

const { values } = parseArgs({ options: { runs: { type: 'string', default: '300' }, json: { type: 'boolean' } } })
const runs = Number(values.runs)

const root = resolve(import.meta.dirname, '../..')
const folders = [join(root, 'test/vectors'), SHARED_VECTORS].filter((folder) => existsSync(folder))
const vectors = (await Promise.all(folders.map(readVectors))).flat().filter((v): v is Vector => !isBroken(v))

/** Nothing is known beforehand: certificates, lists and report are read and verified anew each time. */
function appraisal(id: string, name: string, { crls = true } = {}): Subject[] {
  const vector = vectors.find((candidate) => candidate.id === id)
  if (!vector) {
    process.stderr.write(`skipped ${name}: no vector ${id} in ${folders.join(', ')}\n`)
    return []
  }
  const { evidence, options } = vector
  const judged = crls ? evidence : { ...evidence, crls: [] }
  const run = async () => {
    const { checks } = await appraise(judged, options)
    if (checks.some(({ tier, code }) => tier === 'contraindicated' && code !== 'chain.revocation-unknown')) {
      throw new Error(`${id} is refused`)
    }
  }
  return [{ name, run }]
}

const rsa = rsa4096Pss()
const ecdsa384 = p384()
const ecdsa256 = p256()
const SNP_FLOOR = 'SNP floor: 1 P-384, 3 RSA-4096-PSS'
const TDX_FLOOR = 'TDX floor: 10 P-256'
const peers = await openPeers(SHARED_VECTORS)

const first = performance.now()
for (const { run } of appraisal('genoa-v3-azure', 'first')) await run()
const firstMs = performance.now() - first

const speed = opensslSpeed()
const times = await measure(
  [
    { name: SNP_FLOOR, run: repeat(ecdsa384, rsa, rsa, rsa) },
    ...appraisal('genoa-v3-azure', 'SNP with revocation list (genoa-v3-azure)'),
    ...appraisal('milan-v3-oak-containers', 'SNP with revocation list (milan-v3-oak-containers)'),
    ...appraisal('ok-vcek', 'SNP with revocation list (ok-vcek)'),
    ...appraisal('genoa-v3-azure', 'SNP without (genoa-v3-azure)', { crls: false }),
    { name: TDX_FLOOR, run: repeat(...Array.from({ length: 10 }, () => ecdsa256)) },
    ...appraisal('v4-90c06f-azure', 'TDX with both lists (v4-90c06f-azure)'),
    ...appraisal('v4-b0c06f-phala', 'TDX with both lists (v4-b0c06f-phala)'),
    ...peers,
  ],
  runs,
)

/** In milliseconds, by `openssl speed`: without hashing, padding and key handling. */
const rawFloors = speed && { SNP: speed.p384 + 3 * speed.rsa4096, TDX: 10 * speed.p256 }

function floorOf({ name }: Times): { node: number | undefined; raw: number | undefined } {
  const kind = name.startsWith('SNP') ? 'SNP' : 'TDX'
  const floor = times.find((item) => item.name === (kind === 'SNP' ? SNP_FLOOR : TDX_FLOOR))
  return { node: floor?.p50Ms, raw: rawFloors?.[kind] }
}

const rows = times.map((item) => {
  const { node, raw } = floorOf(item)
  return { ...item, xFloor: node && item.p50Ms / node, xOpensslSpeed: raw && item.p50Ms / raw }
})

if (values.json) process.stdout.write(`${JSON.stringify({ node: process.version, firstMs, speed, rows })}\n`)
else {
  const [cpu] = cpus()
  process.stdout.write(`Node ${process.version}, ${cpus().length} x ${cpu?.model ?? 'unknown'}, p50 of ${runs}\n`)
  process.stdout.write(`first appraisal in the process: ${firstMs.toFixed(1)} ms\n`)
  const cells = rows.map((row) => [
    row.name,
    row.p50Ms.toFixed(3),
    row.p95Ms.toFixed(3),
    row.bestMs.toFixed(3),
    row.xFloor?.toFixed(2) ?? '-',
    row.xOpensslSpeed?.toFixed(2) ?? '-',
  ])
  const head = ['', 'p50 ms', 'p95 ms', 'best ms', 'x floor', 'x openssl speed']
  for (const line of [head, ...cells]) {
    process.stdout.write(
      `${(line[0] ?? '').padEnd(52)}${line
        .slice(1)
        .map((cell) => cell.padStart(16))
        .join('')}\n`,
    )
  }
}
