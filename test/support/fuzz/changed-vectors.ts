/** Evidence changed by a seed, as the fuzzer changes it. */
import type { Case } from '../vectors/case-codec.ts'
import type { Vector } from '../vectors/vector.ts'
import { mutateEvidence } from './mutate-evidence.ts'
import { randomOf } from './random.ts'

export interface ChangedVector extends Case {
  /** Of the vector that was changed. */
  readonly id: string
  /** Vector and change, for people. */
  readonly name: string
}

export function changedVectors(vectors: readonly Vector[], { seed, count }: { seed: number; count: number }) {
  return Array.from({ length: count }, (_, index): ChangedVector => {
    const random = randomOf(seed, index)
    const vector = random.pick(vectors)
    const { evidence, change } = mutateEvidence(vector, vectors, random)
    const { id, options } = vector
    return { id, name: `case ${index} (${id}; ${change})`, evidence, options }
  })
}
