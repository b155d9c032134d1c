import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { LeaseStatus } from '@trusted-pods/publisher/status-stream.ts'
import { fundedLease } from '../../../test/support/lease-fixture.ts'
import { coloursFor } from './colours.ts'
import { curlCommand, formatStatus, statusJson } from './format-status.ts'
import { toJsonLine } from './output.ts'
import { formatTable } from './table.ts'
import { countOf, formatBytes, formatDuration, formatQuantity } from './units.ts'

const LEASE = fundedLease()
const STATUS: LeaseStatus = {
  phase: 'running',
  message: '',
  containers: [{ name: 'web', state: 'exited', exitCode: 1, restarts: 2 }],
  endpoints: [{ container: 'web', targetPort: 80, url: 'http://a.example:8080', connect: '127.0.0.1:8080' }],
  fetchedBytes: 0n,
  totalBytes: 0n,
  receipt: { kind: 'none' },
  funds: { left: 100_000n, lastsSeconds: 16_000n, isLow: false },
}

test('a status shows evidence, containers and endpoints', () => {
  const text = formatStatus(LEASE, STATUS, coloursFor(false))
  assert.match(text, new RegExp(`^hello ${LEASE.id.slice(0, 12)} {2}running`))
  assert.match(text, /SIMULATED - NOT CONFIDENTIAL/)
  assert.match(text, /web: exited with 1, 2 restarts/)
  assert.match(text, /http:\/\/a\.example:8080 {2}\(web:80, connect to 127\.0\.0\.1:8080\)/)
  assert.match(text, /no receipt yet/)
})

test('a failure and a receipt that does not hold are shown', () => {
  const failure = new TrustedPodsError('PROVISION_CONTAINER_EXITED', 'web exited', { remote: true })
  const text = formatStatus(
    LEASE,
    { ...STATUS, phase: 'failed', failure, receipt: { kind: 'invalid', reason: 'too much' } },
    coloursFor(false),
  )
  assert.match(text, /PROVISION_CONTAINER_EXITED: web exited/)
  assert.match(text, /the receipt does not hold: too much/)
})

test('why a receipt does not hold cannot write over what stands above it', () => {
  const reason = 'it counts \u001b[9A\u001b[2Kcpu, which has no price'
  const text = formatStatus(LEASE, { ...STATUS, receipt: { kind: 'invalid', reason } }, coloursFor(false))
  assert.match(text, /the receipt does not hold: it counts {2}\[9A \[2Kcpu, which has no price$/m)
})

test('as JSON a status has no error object and no bigint', () => {
  const failure = new TrustedPodsError('PROVISION_CONTAINER_EXITED', 'web exited', { remote: true })
  const json = JSON.parse(toJsonLine(statusJson(LEASE, { ...STATUS, failure })))
  assert.deepEqual(json.failure, { code: 'PROVISION_CONTAINER_EXITED', message: 'web exited' })
  assert.equal(json.lease, LEASE.id)
  assert.equal(json.fetchedBytes, 0)
})

test('a command is made only of a plain host, port and address: what a provider says must not reach a shell', () => {
  const endpoint = { container: 'web', targetPort: 80, url: 'http://a.example:8080', connect: '127.0.0.1:8080' }
  assert.equal(curlCommand(endpoint), 'curl --connect-to a.example:8080:127.0.0.1:8080 http://a.example:8080')
  assert.equal(curlCommand({ ...endpoint, url: 'http://a.example/$(reboot)' }), undefined)
  assert.equal(curlCommand({ ...endpoint, url: 'tcp://a.example:1' }), undefined)
  assert.equal(curlCommand({ ...endpoint, connect: '`reboot`' }), 'curl http://a.example:8080')
})

test('sizes, times and quantities read as people say them', () => {
  assert.deepEqual([0, 999, 1000, 12_345_678, 2.5e12].map(formatBytes), ['0 B', '999 B', '1.0 kB', '12 MB', '2.5 TB'])
  assert.deepEqual([0, 59, 60, 3661, 90_061].map(formatDuration), ['0 s', '59 s', '1 min', '1 h 1 min', '1 d 1 h'])
  assert.equal(formatQuantity({ name: 'memory', quantity: 2n ** 30n, selector: '' }), 'memory 1 GiB')
  assert.equal(
    formatQuantity({ name: 'nvidia.com/gpu', quantity: 2n, selector: 'H100' }),
    'nvidia.com/gpu (H100) 2 GPU',
  )
  assert.equal(formatQuantity({ name: 'cpu', quantity: 1500n, selector: '' }), 'cpu 1500 mCPU')
  assert.deepEqual([countOf(1, 'error'), countOf(0, 'error')], ['1 error', '0 errors'])
  assert.equal(formatTable(['A', 'LONG'], [['xyz', '1']]), 'A    LONG\nxyz  1')
})
