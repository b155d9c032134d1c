import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memoryStream } from '../../../test/support/memory-stream.ts'
import { createOutput, type Format, forTerminal, plainText, toJsonLine } from './output.ts'
import type { Environment } from './paths.ts'

function outputTo({ isTTY = false, format = 'pretty' as Format, quiet = false, env = {} as Environment } = {}) {
  const [stdout, stderr] = [memoryStream(isTTY), memoryStream(isTTY)]
  return { stdout, stderr, output: createOutput(stdout, stderr, { format, quiet, env }) }
}

test('results go to stdout and nothing else does', () => {
  const { stdout, stderr, output } = outputTo()
  output.result('the result', { a: 1 })
  output.progress('going on')
  output.step('wire', 'connected')
  output.next('trustedpods ls')
  output.failure('error: X')
  assert.equal(stdout.text(), 'the result\n')
  assert.equal(stderr.text(), 'going on\nwire       connected\nNext: trustedpods ls\nerror: X\n')
})

test('as JSON a result is one line, with bigint and bytes as text', () => {
  const { stdout, output } = outputTo({ format: 'json' })
  output.result('text', { money: 10n ** 20n, bytes: Uint8Array.of(1, 255), when: new Date(0) })
  assert.equal(stdout.text(), '{"money":"100000000000000000000","bytes":"0x01ff","when":"1970-01-01T00:00:00.000Z"}\n')
  assert.equal(toJsonLine([undefined]), '[null]')
})

test('quiet leaves out progress and hints, never a failure', () => {
  const { stderr, output } = outputTo({ quiet: true })
  output.progress('going on')
  output.next('trustedpods ls')
  output.failure('error: X')
  assert.equal(stderr.text(), 'error: X\n')
})

test('colours are for terminals without NO_COLOR; JSON has none', () => {
  const isColoured = (options: Parameters<typeof outputTo>[0]) => outputTo(options).output.colours.red('x') !== 'x'
  assert.equal(isColoured({ isTTY: true }), true)
  assert.equal(isColoured({ isTTY: false }), false)
  assert.equal(isColoured({ isTTY: true, env: { NO_COLOR: '1' } }), false)
  assert.equal(isColoured({ isTTY: true, env: { TERM: 'dumb' } }), false)
  assert.equal(isColoured({ isTTY: true, format: 'json' }), false)
  assert.equal(outputTo({ isTTY: false }).output.progressColours.red('x'), 'x')
})

test("strangers' text cannot steer the terminal; tabs and colours stay", () => {
  assert.equal(forTerminal('a\tb \u001b[31mred\u001b[0m'), 'a\tb \u001b[31mred\u001b[0m')
  assert.equal(forTerminal('\u001b]0;title\u0007'), '\ufffd]0;title\ufffd')
  assert.equal(forTerminal('a\r\u001b[2Jb\u009b1A'), 'a\ufffd\ufffd[2Jb\ufffd1A')
})

test('whatever is printed, only colours and line ends pass to the terminal', () => {
  const { stdout, stderr, output } = outputTo({ isTTY: true })
  const evil = 'a\u001b[9A\u001b[2K\r\u009b1A\u202eb'
  output.result(`one\n${evil}`, {})
  output.progress(evil)
  output.step('quote', evil)
  output.failure(evil)
  output.next(evil)
  const printed = `${stdout.text()}${stderr.text()}`
  assert.equal(printed.split('\n').length, 7)
  const { cyan, bold } = output.progressColours
  const [step, next] = [cyan('quote    '), bold('Next:')]
  assert.ok(printed.includes(step) && printed.includes(next))
  const rest = printed.replace(step, '').replace(next, '').replaceAll('\n', '')
  assert.doesNotMatch(rest, /[\p{Cc}\p{Cf}]/u)
})

test('as JSON what steers a terminal is escaped and comes back whole', () => {
  const evil = '\u001b[2K\u007f\u009b1A\u202e\u2028'
  const json = toJsonLine({ evil })
  assert.match(json, /^[ -~]+$/)
  assert.deepEqual(JSON.parse(json), { evil })
})

test("strangers' text among ours is one line without colours, which could hide what stands beside it", () => {
  assert.equal(plainText('a\n\u001b[8mhidden\u001b[0m\u202eb'), 'a [8mhidden [0m b')
})
