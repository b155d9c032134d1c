import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Phase } from '@trusted-pods/publisher/pod-status.ts'
import type { LeaseStatus } from '@trusted-pods/publisher/status-stream.ts'
import { fundedLease } from '../../../test/support/lease-fixture.ts'
import { memoryStream } from '../../../test/support/memory-stream.ts'
import { createDeployProgress } from './deploy-progress.ts'
import { createOutput } from './output.ts'

function started() {
  const stderr = memoryStream()
  const output = createOutput(memoryStream(), stderr, { format: 'pretty', quiet: false, env: {} })
  let now = 0
  const print = createDeployProgress(output, { clock: () => now, sentBytes: () => 3_000_000 })
  const status = (phase: Phase, fetchedBytes = 0n, totalBytes = 0n): LeaseStatus => ({
    phase,
    message: '',
    containers: [],
    endpoints: [],
    fetchedBytes,
    totalBytes,
    receipt: { kind: 'none' },
    funds: { left: 100_000n, lastsSeconds: 16_000n, isLow: false },
  })
  const provision = (phase: Phase, fetchedBytes?: bigint, totalBytes?: bigint) =>
    print({ step: 'provision', status: status(phase, fetchedBytes, totalBytes) })
  const pass = (ms: number) => {
    now += ms
  }
  return { print, provision, text: () => stderr.text(), pass }
}

test('each phase is told at once and once; bytes fetched now and then', () => {
  const { provision, text, pass } = started()
  provision('accepted')
  provision('accepted')
  provision('fetching')
  provision('fetching', 1_000_000n)
  pass(2_000)
  provision('fetching', 5_000_000n)
  provision('fetching', 6_000_000n)
  pass(4_000)
  provision('fetching', 10_000_000n, 40_000_000n)
  provision('opening')
  provision('running')
  assert.deepEqual(
    text()
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/^provision +/, '')),
    [
      'accepted',
      'fetching, 3.0 MB of it from here',
      'fetching 5.0 MB, 2.5 MB/s, 3.0 MB of it from here',
      'fetching 10 MB of 40 MB (25 %), 1.3 MB/s, 3.0 MB of it from here',
      'opening',
      'running',
    ],
  )
})

test('a lost provider is told, and which try comes next', () => {
  const { print, text } = started()
  print({ step: 'lost', error: new TrustedPodsError('WIRE_CLOSED', 'gone'), tries: 1, ofTries: 6 })
  assert.equal(text(), 'provision  provider lost (WIRE_CLOSED): attesting anew, try 2 of 6\n')
})

test('a verdict is told line by line, what is simulated first; the deposit with its lease and transaction', () => {
  const { print, text } = started()
  const when = new Date('2030-01-01T00:00:00Z')
  const verdict = {
    tier: 'warning',
    checks: [],
    simulated: true,
    evidenceType: 'snp',
    verifiedAt: when,
    expiresAt: when,
  } as const
  print({ step: 'attest', verdict })
  const lease = fundedLease()
  print({ step: 'channel', lease })
  const lines = text().trimEnd().split('\n')
  assert.match(lines[0] ?? '', /^attest +SIMULATED - NOT CONFIDENTIAL$/)
  assert.match(lines[1] ?? '', /^attest +verdict: warning/)
  assert.match(
    lines[2] ?? '',
    new RegExp(`^channel +lease ${lease.id.slice(0, 12)}: 0\\.1 tUSDC deposited, transaction 0xabab`),
  )
})
