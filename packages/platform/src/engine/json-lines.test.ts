import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import fc from 'fast-check'
import { jsonLines } from './json-lines.ts'

async function parse(bytes: Uint8Array, size = 7): Promise<unknown[]> {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size)
  }
  const all: unknown[] = []
  for await (const value of jsonLines(chunks())) all.push(value)
  return all
}

const isEngineFailure = (error: unknown) => error instanceof TrustedPodsError && error.code === 'PLATFORM_ENGINE_FAILED'

test('values come as they were written, however the bytes are cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.jsonValue()), fc.integer({ min: 1, max: 9 }), async (values, size) => {
      const wanted: unknown = JSON.parse(JSON.stringify(values))
      const text = values.map((value) => `${JSON.stringify(value)}\r\n`).join('\n')
      assert.deepEqual(await parse(Buffer.from(text), size), wanted)
    }),
  )
})

test('an object cut at any byte is an error, and so are words and an endless line', async () => {
  const text = Buffer.from('{"status":"é"}')
  for (let length = 1; length < text.length; length++)
    await assert.rejects(parse(text.subarray(0, length)), isEngineFailure)
  assert.deepEqual(await parse(text), [{ status: 'é' }])
  await assert.rejects(parse(Buffer.from('internal error\n')), isEngineFailure)
  await assert.rejects(parse(Buffer.alloc(1024 * 1024 + 1, '1'), 4096), isEngineFailure)
})
