import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tellWaiting } from './patience.ts'

test('what takes long is told once, what comes in time is not', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const lines: string[] = []
  const output = { progress: (line: string) => void lines.push(line) }
  {
    using _quick = tellWaiting(output, 'the first')
    t.mock.timers.tick(2_999)
  }
  using _slow = tellWaiting(output, 'the second')
  t.mock.timers.tick(60_000)
  assert.deepEqual(lines, ['waiting for the second; Ctrl-C ends it'])
})
