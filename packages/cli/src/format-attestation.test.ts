import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { coloursFor } from './colours.ts'
import { attestationJson, formatAttestation } from './format-attestation.ts'
import { toJsonLine } from './output.ts'

const plain = coloursFor(false)
const until = new Date('2026-01-01T01:00:00Z')
const verdict: Verdict = {
  tier: 'warning',
  checks: [],
  simulated: false,
  evidenceType: 'snp',
  verifiedAt: new Date('2026-01-01T00:00:00Z'),
  expiresAt: until,
}
const error = new TrustedPodsError('WIRE_DIAL_FAILED', 'no answer')

test('each kind of news is one line that says what holds and until when', () => {
  assert.equal(
    formatAttestation({ kind: 'proven', verdict, worse: [] }, plain),
    'proven until 2026-01-01T01:00:00.000Z (snp, warning)',
  )
  assert.equal(
    formatAttestation({ kind: 'proven', verdict, worse: ['the platform was a and is b now'] }, plain),
    'worse than before, still accepted: the platform was a and is b now; proven until 2026-01-01T01:00:00.000Z (snp, warning)',
  )
  assert.equal(
    formatAttestation({ kind: 'unknown', error, provenUntil: until }, plain),
    'not told (WIRE_DIAL_FAILED: no answer); proven until 2026-01-01T01:00:00.000Z',
  )
  assert.equal(
    formatAttestation({ kind: 'expired', error, provenUntil: until }, plain),
    'not proven since 2026-01-01T01:00:00.000Z (WIRE_DIAL_FAILED: no answer)',
  )
  assert.equal(formatAttestation({ kind: 'expired', error }, plain), 'not proven so far (WIRE_DIAL_FAILED: no answer)')
  const refusal = new TrustedPodsError('ATTEST_REFUSED', 'the policy refuses the evidence')
  assert.equal(
    formatAttestation({ kind: 'refused', error: refusal }, plain),
    'refused: the policy refuses the evidence',
  )
})

test('JSON has the verdict, and of a failure its code and message alone', () => {
  const proven = JSON.parse(toJsonLine(attestationJson({ kind: 'proven', verdict, worse: [] })))
  assert.deepEqual([proven.kind, proven.verdict.expiresAt], ['proven', until.toISOString()])
  assert.deepEqual(JSON.parse(toJsonLine(attestationJson({ kind: 'expired', error }))), {
    kind: 'expired',
    failure: { code: 'WIRE_DIAL_FAILED', message: 'no answer' },
  })
})
