import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { CommanderError } from 'commander'
import { EXIT, exitCodeOf } from './exit-codes.ts'

const exitOf = (code: ErrorCode, remote = false) =>
  exitCodeOf(new TrustedPodsError(code, '', { remote }), { interrupted: false })

test('each step has its exit code', () => {
  assert.equal(exitOf('MANIFEST_INVALID'), 3)
  assert.equal(exitOf('QUOTE_NO_PROVIDER'), 4)
  assert.equal(exitOf('ATTEST_REFUSED'), 5)
  assert.equal(exitOf('CHANNEL_NO_FUNDS'), 6)
  assert.equal(exitOf('PROVISION_OVER_QUOTE', true), 7)
  assert.equal(exitOf('PROVISION_CONTAINER_EXITED', true), 8)
  assert.equal(exitOf('WIRE_DIAL_FAILED'), 9)
  assert.equal(exitOf('PLATFORM_CONFIG'), 2)
})

test('what is only out of reach is no refusal and no lack of money', () => {
  assert.equal(exitOf('ATTEST_UNAVAILABLE', true), 9)
  assert.equal(exitOf('CHANNEL_RPC_UNAVAILABLE'), 9)
  assert.equal(exitOf('ATTEST_POLICY_INVALID'), 2)
})

test('a lease that we do not know is a usage error, a pod that the provider does not know is not', () => {
  assert.equal(exitOf('STATUS_UNKNOWN_POD'), 2)
  assert.equal(exitOf('STATUS_UNKNOWN_POD', true), 7)
})

test('an image that could not be pulled is a matter of the network here, and the provider’s answer there', () => {
  assert.equal(exitOf('PROVISION_IMAGE_FETCH'), 9)
  assert.equal(exitOf('PROVISION_IMAGE_FETCH', true), 7)
})

test('usage, faults of ours and an interruption are told apart', () => {
  assert.equal(exitCodeOf(new CommanderError(1, 'commander.unknownCommand', ''), { interrupted: false }), 2)
  assert.equal(exitCodeOf(new CommanderError(0, 'commander.helpDisplayed', ''), { interrupted: false }), 0)
  assert.equal(exitCodeOf(new TypeError('x'), { interrupted: false }), 1)
  assert.equal(exitCodeOf(new TrustedPodsError('WIRE_CLOSED', ''), { interrupted: true }), 130)
})

test('the documentation lists every exit code, once', async () => {
  const text = await readFile(new URL('../../../docs/cli.md', import.meta.url), 'utf8')
  const listed = [...text.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code))
  assert.deepEqual(listed, Object.values(EXIT))
})
