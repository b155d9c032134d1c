import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { extract } from 'tar-stream'
import { tarFile, writeTar } from './tar-writer.ts'

async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of bytes) parts.push(chunk)
  return Buffer.concat(parts)
}

test('tar-stream reads what is written', async () => {
  const files = [0, 1, 511, 512, 513, 100_000].map((size) => ({ name: `folder/${size}`, bytes: randomBytes(size) }))
  const tar = await collect(writeTar(files.map(({ name, bytes }) => tarFile(name, bytes))))
  assert.equal(tar.length % 512, 0)
  const extractor = extract()
  extractor.end(tar)
  const found: { name: string; bytes: Buffer }[] = []
  for await (const entry of extractor) {
    assert.equal(entry.header.type, 'file')
    found.push({ name: entry.header.name, bytes: await collect(entry as AsyncIterable<Uint8Array>) })
  }
  assert.deepEqual(found, files)
})

test('a file that is shorter or longer than announced ends the archive with an error, and never overruns', async () => {
  for (const [size, message] of [
    [11, /does not have the 11 bytes/],
    [9, /does not have the 9 bytes/],
  ] as const)
    await assert.rejects(collect(writeTar([{ ...tarFile('a', randomBytes(10)), size }])), {
      code: 'PLATFORM_STATE',
      message,
    })
})

test('a name or size that does not fit is refused', async () => {
  await assert.rejects(collect(writeTar([tarFile('a'.repeat(101), new Uint8Array())])), { code: 'PLATFORM_STATE' })
  await assert.rejects(collect(writeTar([{ ...tarFile('a', new Uint8Array()), size: 8 ** 11 }])), {
    code: 'PLATFORM_STATE',
  })
})

test('nothing is read ahead, and leaving early ends the source', async () => {
  let [read, ended] = [0, false]
  async function* content() {
    try {
      for (;;) {
        read++
        yield new Uint8Array(512)
      }
    } finally {
      ended = true
    }
  }
  const stream = writeTar([{ name: 'a', size: 1_000_000, content }])
  await stream.next()
  assert.equal(read, 0)
  await stream.next()
  assert.equal(read, 1)
  await stream.return(undefined)
  assert.ok(ended)
})
