import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LeaseStatus } from '@trusted-pods/publisher/status-stream.ts'
import { fundedLease } from '../../../test/support/lease-fixture.ts'
import { memoryStream } from '../../../test/support/memory-stream.ts'
import { createOutput, type Format } from './output.ts'
import { createStatusTeller } from './status-teller.ts'

const RUNNING: LeaseStatus = {
  phase: 'running',
  message: '',
  containers: [{ name: 'web', state: 'running', restarts: 0 }],
  endpoints: [],
  fetchedBytes: 0n,
  totalBytes: 0n,
  receipt: { kind: 'none' },
  funds: { left: 100_000n, lastsSeconds: 16_000n, isLow: false },
}

function tellerOf(format: Format) {
  const stdout = memoryStream()
  const output = createOutput(stdout, memoryStream(), { format, quiet: false, env: {} })
  let now = 0
  const tell = createStatusTeller(output, fundedLease(), () => now)
  const lines = (status: LeaseStatus, atMs: number) => {
    now = atMs
    const before = stdout.text().length
    tell(status)
    return stdout.text().slice(before).split('\n').slice(0, -1)
  }
  return lines
}

const spent = (left: bigint): LeaseStatus => ({ ...RUNNING, funds: { ...RUNNING.funds, left } })

test('while only the sums change they are one line now and then; what happens is told whole and at once', () => {
  const lines = tellerOf('pretty')
  assert.ok(lines(RUNNING, 0).length > 3)
  assert.deepEqual(lines(spent(99_000n), 2_000), [])
  const [sums, ...more] = lines(spent(98_000n), 10_000)
  assert.deepEqual(more, [])
  assert.match(sums ?? '', /running, owed no receipt yet; 0\.098 tUSDC left/)
  const restarted = { ...spent(97_000n), containers: [{ name: 'web', state: 'running' as const, restarts: 1 }] }
  assert.match(lines(restarted, 10_500).join('\n'), /web: running, 1 restart/)
  assert.match(lines({ ...restarted, funds: { ...restarted.funds, isLow: true } }, 10_600).join('\n'), /LOW/)
})

test('as JSON every status is told', () => {
  const lines = tellerOf('json')
  for (const [i, left] of [100_000n, 99_000n, 98_000n].entries()) {
    const [line, ...more] = lines(spent(left), i)
    assert.deepEqual([JSON.parse(line ?? '').funds.left, more], [left.toString(), []])
  }
})
