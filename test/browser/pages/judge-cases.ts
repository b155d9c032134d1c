/** Beside verifier.ts in a page: takes cases as text and answers by the verifier's words. */
import { unpackCase } from '../../support/vectors/case-codec.ts'
import type { Verifier } from './verifier.ts'

export interface JudgingPage {
  readonly verifier: Verifier
  /** JSON of the verdict of each. */
  judgeCases(packed: readonly string[]): Promise<string[]>
}

async function judgeCases(packed: readonly string[]): Promise<string[]> {
  const { verifier } = globalThis as unknown as JudgingPage
  const verdicts: string[] = []
  for (const text of packed) {
    const { evidence, options } = unpackCase(text)
    verdicts.push(JSON.stringify(await verifier.appraise(evidence, options)))
  }
  return verdicts
}

Object.assign(globalThis, { judgeCases })
