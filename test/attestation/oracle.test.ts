/** The oracle of the fuzzer must see what a careless verifier would accept. */
import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { mutateEvidence } from '../support/fuzz/mutate-evidence.ts'
import { isSound, Oracle } from '../support/fuzz/oracle.ts'
import { randomOf } from '../support/fuzz/random.ts'
import { appraiseVector } from '../support/vectors/judge-vector.ts'
import { isBroken, readVectors, type Vector } from '../support/vectors/vector.ts'

const vectors = (await readVectors(resolve(import.meta.dirname, '../vectors'))).filter(
  (vector): vector is Vector => !isBroken(vector),
)
const sound: Vector[] = []
for (const vector of vectors) if (isSound(vector, (await appraiseVector(vector)).codes)) sound.push(vector)
const oracle = new Oracle(vectors, sound)

test('unchanged evidence of a sound vector is no forgery', () => {
  for (const vector of sound) assert.equal(oracle.forgery(vector.evidence), undefined, vector.id)
})

test('one changed bit of a report, a certificate or a list is a forgery', () => {
  const [vector] = sound
  assert.ok(vector)
  const { evidence } = vector
  const flip = (bytes: Uint8Array) => bytes.map((byte, i) => (i === 40 ? byte ^ 1 : byte))
  const [leaf = new Uint8Array(), ...rest] = evidence.certificates
  assert.match(oracle.forgery({ ...evidence, report: flip(evidence.report) }) ?? '', /nobody signed/)
  assert.match(oracle.forgery({ ...evidence, certificates: [flip(leaf), ...rest] }) ?? '', /nobody signed/)
  assert.match(oracle.forgery({ ...evidence, crls: evidence.crls.map(flip) }) ?? '', /nobody signed/)
})

test('genuine parts of different vectors are a forgery', () => {
  const vcek = sound.find(({ id }) => id === 'ok-vcek')
  const vlek = sound.find(({ id }) => id === 'ok-vlek')
  assert.ok(vcek && vlek)
  const { certificates } = vcek.evidence
  assert.match(oracle.forgery({ ...vcek.evidence, report: vlek.evidence.report }) ?? '', /nobody signed/)
  const [, other] = vlek.evidence.certificates
  const mixed = certificates.map((certificate, i) => (i === 1 && other ? other : certificate))
  assert.match(oracle.forgery({ ...vcek.evidence, certificates: mixed }) ?? '', /did not issue/)
})

test('a change never writes into the vector that it is of', () => {
  const before = vectors.map(({ evidence }) => structuredClone({ ...evidence, statement: undefined }))
  for (let i = 0; i < 300; i++) {
    const random = randomOf(3, i)
    mutateEvidence(random.pick(vectors), vectors, random)
  }
  assert.deepEqual(
    vectors.map(({ evidence }) => structuredClone({ ...evidence, statement: undefined })),
    before,
  )
})
