import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { FirstReady } from './first-ready.ts'

/** Live bytes of the heap. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}

async function* countTo(count: number): AsyncGenerator<number> {
  for (let i = 1; i <= count; i++) yield i
}

async function* after<T>(gate: Promise<unknown>, item: T): AsyncGenerator<T> {
  await gate
  yield item
}

test('what comes first is taken first, and a silent source holds nothing up', async () => {
  const gate = Promise.withResolvers<void>()
  const [busy, silent] = [countTo(3), after(gate.promise, 99)]
  const sources = new FirstReady<number>()
  for (const source of [silent, busy]) sources.ask(source)
  const seen: number[] = []
  while (seen.length < 4) {
    const { source, result } = await sources.take()
    if (result.done) gate.resolve()
    else seen.push(result.value)
    if (!result.done) sources.ask(source)
  }
  assert.deepEqual(seen, [1, 2, 3, 99])
})

test('what a source throws is thrown where it is taken, also when nobody waited for it', async () => {
  const sources = new FirstReady<number>()
  sources.ask(after(Promise.reject(new Error('lost')), 1))
  await sources.settled()
  await assert.rejects(sources.take(), /lost/)
})

test('a hundred thousand items beside a silent source leave nothing behind', async () => {
  const silence = Promise.withResolvers<void>()
  const [busy, silent] = [countTo(100_000), after(silence.promise, 0)]
  const sources = new FirstReady<number>()
  for (const source of [silent, busy]) sources.ask(source)
  const before = heapBytes()
  for (;;) {
    const { result } = await sources.take()
    if (result.done) break
    sources.ask(busy)
  }
  const grownMiB = (heapBytes() - before) / 2 ** 20
  silence.resolve()
  assert.ok(grownMiB < 4, `${grownMiB.toFixed(1)} MiB`)
})
