import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { memoryStream } from '../../../test/support/memory-stream.ts'
import { printFailure } from './failure.ts'
import { createOutput, type Format } from './output.ts'

function print(error: unknown, { format = 'pretty' as Format, debug = false, interrupted = false } = {}): string {
  const stderr = memoryStream()
  const output = createOutput(memoryStream(), stderr, { format, quiet: false, env: {} })
  printFailure(output, error, { debug, interrupted })
  return stderr.text()
}

test('a failure is its code, one sentence and what to do', () => {
  const error = new TrustedPodsError('CHANNEL_NO_FUNDS', 'the wallet has 1, 2 are needed')
  assert.equal(
    print(error),
    'error: CHANNEL_NO_FUNDS\n  the wallet has 1, 2 are needed\n  Send tokens and gas coin to the wallet, or lower --deposit or --hours.\n',
  )
})

test("the provider's words are marked as such and cannot steer the terminal", () => {
  const text = print(new TrustedPodsError('QUOTE_NO_CAPACITY', '\u001b[2Jfull', { remote: true }))
  assert.match(text, /QUOTE_NO_CAPACITY \(told by the provider\)/)
  assert.ok(!text.includes('\u001b'))
})

test("a stranger's words in a message of ours stay in their line and without colour", () => {
  const text = print(new TrustedPodsError('QUOTE_PRICES_INVALID', 'no price for \u001b[8mcpu\nerror: NONE\u001b[9A'))
  assert.match(text, /\n {2}no price for {2}\[8mcpu error: NONE \[9A\n/)
})

test('every line of a message with many is indented', () => {
  assert.match(print(new TrustedPodsError('MANIFEST_INVALID', 'one\ntwo')), /\n {2}one\n {2}two\n/)
})

test('a stack is shown with --debug alone', () => {
  const error = new TypeError('x is not a function', { cause: new Error('the cause') })
  assert.doesNotMatch(print(error), /\n\s+at /)
  const text = print(error, { debug: true })
  assert.match(text, /\n\s+at /)
  assert.match(text, /caused by Error: the cause/)
  assert.match(print(error), /error: INTERNAL/)
})

test('as JSON a failure is one object with code, message, advice', () => {
  const { error } = JSON.parse(print(new TrustedPodsError('WIRE_CLOSED', 'lost'), { format: 'json' }))
  assert.deepEqual(Object.keys(error), ['code', 'message', 'advice', 'remote'])
  assert.equal(error.code, 'WIRE_CLOSED')
  assert.equal(JSON.parse(print(new Error('aborted'), { format: 'json', interrupted: true })).error.code, 'INTERRUPTED')
})
