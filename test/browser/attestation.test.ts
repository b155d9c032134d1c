/**
 * The production bundle of the verifier in a real Chromium: every vector, changed evidence, and no way to accept what is simulated.
 * The page reaches no network. Shared vectors: TRUSTED_PODS_VECTORS, or ../shared/vectors beside the repository.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { appraise } from '@trusted-pods/protocol/attestation/appraise.ts'
import { missingChromium, openWebPage, type WebPage } from '../support/chromium.ts'
import { changedVectors } from '../support/fuzz/changed-vectors.ts'
import { simulatedCases } from '../support/simulated-cases.ts'
import { type Case, packCase } from '../support/vectors/case-codec.ts'
import { judgeVector } from '../support/vectors/judge-vector.ts'
import { SHARED_VECTORS } from '../support/vectors/shared-vectors.ts'
import { isBroken, readVectors, type Vector } from '../support/vectors/vector.ts'
import { bundleForWeb } from '../support/web-bundle.ts'
import type { JudgingPage } from './pages/judge-cases.ts'

const root = resolve(import.meta.dirname, '../..')
const skip = (await missingChromium()) ?? false
const skipShared =
  skip || (existsSync(SHARED_VECTORS) ? false : `no vectors at ${SHARED_VECTORS}: set TRUSTED_PODS_VECTORS`)

const own = await readUsable(join(root, 'test/vectors'))
const others = skipShared === false ? await readUsable(SHARED_VECTORS) : []

async function readUsable(folder: string): Promise<Vector[]> {
  const vectors = await readVectors(folder)
  const broken = vectors.filter(isBroken)
  assert.deepEqual(broken, [])
  return vectors.filter((vector): vector is Vector => !isBroken(vector))
}

let production: WebPage
let development: WebPage

async function openVerifier(options: { production: boolean }): Promise<WebPage> {
  const pages = join(import.meta.dirname, 'pages')
  return await openWebPage({
    scripts: {
      'verifier.js': await bundleForWeb(join(pages, 'verifier.ts'), options),
      'judge-cases.js': await bundleForWeb(join(pages, 'judge-cases.ts'), options),
    },
  })
}

before(async () => {
  if (skip !== false) return
  production = await openVerifier({ production: true })
  development = await openVerifier({ production: false })
})

after(async () => {
  await production?.[Symbol.asyncDispose]()
  await development?.[Symbol.asyncDispose]()
})

/** Cases of one call to the page: some megabytes of text. */
const BATCH = 50

/** JSON of each verdict. */
async function judgeIn({ page }: WebPage, cases: readonly Case[]): Promise<string[]> {
  const verdicts: string[] = []
  for (let at = 0; at < cases.length; at += BATCH) {
    const packed = cases.slice(at, at + BATCH).map(packCase)
    const judged = page.evaluate((texts) => (globalThis as unknown as JudgingPage).judgeCases(texts), packed)
    verdicts.push(...(await judged))
  }
  return verdicts
}

/** Tier and codes must be the vector's. */
async function judgeVectorsInChromium(vectors: readonly Vector[]): Promise<string[]> {
  const wrong: string[] = []
  assert.notEqual(vectors.length, 0)
  for (const vector of vectors) {
    const result = await judgeVector(vector, async (given) => JSON.parse((await judgeIn(production, [given]))[0] ?? ''))
    if (result.wrong !== undefined) wrong.push(`${vector.id}: ${result.wrong}`)
  }
  return wrong
}

/** Every word of the verdict must be the one that is said here. */
async function compareWithNode(cases: readonly (Case & { readonly name?: string; readonly id?: string })[]) {
  const inChromium = await judgeIn(production, cases)
  for (const [i, { evidence, options, ...names }] of cases.entries()) {
    const here = JSON.stringify(await appraise(evidence, options))
    assert.equal(inChromium[i], here, names.name ?? names.id)
  }
}

test('every vector of ours gets its tier and its codes', { skip }, async (t) => {
  assert.deepEqual(await judgeVectorsInChromium(own), [])
  t.diagnostic(`${own.length} vectors`)
})

test('every shared vector gets its tier and its codes', { skip: skipShared }, async (t) => {
  assert.deepEqual(await judgeVectorsInChromium(others), [])
  t.diagnostic(`${others.length} vectors`)
})

test('the whole verdict of every vector is the one that Node gives', { skip }, async () => {
  await compareWithNode([...own, ...others])
})

test('the whole verdict of changed evidence is the one that Node gives', { skip }, async () => {
  await compareWithNode(changedVectors([...own, ...others], { seed: 11, count: 600 }))
})

test('a policy that names a development root is refused with one clear error', { skip }, async () => {
  const [{ document } = assert.fail()] = await simulatedCases()
  const parse = ({ page }: WebPage) =>
    page.evaluate((given) => {
      try {
        return (globalThis as unknown as JudgingPage).verifier.parsePolicy(given).simulatedRoots.length
      } catch (error) {
        return `${(error as { code?: string }).code}: ${(error as Error).message}`
      }
    }, document)
  assert.equal(await parse(development), 1)
  assert.match(
    String(await parse(production)),
    /^ATTEST_POLICY_INVALID: simulatedRoots\[0\]: expected none: this build takes real hardware only, got [0-9a-f]{64}$/,
  )
})

test('simulated evidence that development accepts is contraindicated in production, whatever the policy', {
  skip,
}, async () => {
  for (const { name, evidence, options, anchored } of await simulatedCases()) {
    const tierIn = async (page: WebPage, given: Case) => {
      const [text = ''] = await judgeIn(page, [given])
      return JSON.parse(text) as { tier: string; simulated: boolean; checks: { code: string; tier: string }[] }
    }
    assert.equal((await tierIn(development, { evidence, options })).tier, 'warning', name)
    for (const given of [options, anchored]) {
      const { tier, simulated, checks } = await tierIn(production, { evidence, options: given })
      const refused = checks.filter((check) => check.tier === 'contraindicated').map(({ code }) => code)
      assert.deepEqual([tier, simulated], ['contraindicated', true], name)
      for (const code of ['trust.simulated', 'chain.names', 'chain.extension']) assert.ok(refused.includes(code), name)
    }
  }
})

test('nothing was thrown, refused or asked for in either page', { skip }, () => {
  assert.deepEqual([...production.errors, ...development.errors], [])
})
