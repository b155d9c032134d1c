import assert from 'node:assert/strict'
import { test } from 'node:test'
import { interleave, mergeByTime } from './pod-logs.ts'
import type { RuntimeLogLine } from './pod-runtime.ts'

async function* lines(container: string, ...times: bigint[]): AsyncGenerator<RuntimeLogLine> {
  for (const timeNs of times) yield { container, timeNs, stderr: false, text: new Uint8Array() }
}

async function* endless(): AsyncGenerator<RuntimeLogLine> {
  await new Promise(() => {})
}

test('ended streams are merged by time', async () => {
  const seen: string[] = []
  for await (const { container, timeNs } of mergeByTime([lines('a', 1n, 4n, 5n), lines('b', 2n, 3n, 9n), lines('c')])) {
    seen.push(container + timeNs)
  }
  assert.deepEqual(seen, ['a1', 'b2', 'b3', 'a4', 'a5', 'b9'])
})

test('a container that says nothing holds up no other', async () => {
  const seen: bigint[] = []
  for await (const { timeNs } of interleave([endless(), lines('b', 1n, 2n)])) {
    seen.push(timeNs)
    if (seen.length === 2) break
  }
  assert.deepEqual(seen, [1n, 2n])
})
