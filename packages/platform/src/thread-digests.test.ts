import assert from 'node:assert/strict'
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openThreadDigests } from './thread-digests.ts'

const MIB = 1024 * 1024
const KEY = randomBytes(32)
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
const totalsOf = (bytes: Uint8Array) => ({
  sha256: sha256(bytes),
  hmac: createHmac('sha256', KEY).update(bytes).digest(),
})
const asBuffers = <T extends Record<string, unknown>>(found: T) =>
  Object.fromEntries(Object.entries(found).flatMap(([k, v]) => (v instanceof Uint8Array ? [[k, Buffer.from(v)]] : [])))

/** Pieces of the bytes, each in memory of its own. */
function cut(bytes: Uint8Array, pieceBytes: number): Uint8Array<ArrayBuffer>[] {
  const pieces: Uint8Array<ArrayBuffer>[] = []
  for (let at = 0; at < bytes.length; at += pieceBytes)
    pieces.push(Uint8Array.from(bytes.subarray(at, at + pieceBytes)))
  return pieces
}

test('totals are those of all blocks, and blocks come back with their own', async () => {
  for (const length of [0, 1, MIB, 2 * MIB, 2 * MIB + 1, 9 * MIB + 17]) {
    const bytes = randomBytes(length)
    using digests = openThreadDigests(KEY, { each: true })
    const added = cut(bytes, MIB).map((block) => digests.add(block))
    assert.deepEqual(asBuffers({ ...(await digests.finish()) }), asBuffers(totalsOf(bytes)), `${length}`)
    const blocks = await Promise.all(added)
    assert.deepEqual(Buffer.concat(blocks.map((block) => block.bytes)), bytes)
    for (const block of blocks) assert.deepEqual(Buffer.from(block.sha256 ?? []), sha256(block.bytes))
  }
})

test('a block has no digest of its own where none was asked for', async () => {
  using digests = openThreadDigests(KEY, { each: false })
  const added = cut(randomBytes(4 * MIB), MIB).map((block) => digests.add(block))
  await digests.finish()
  for (const block of await Promise.all(added)) assert.equal(block.sha256, undefined)
})

test('digests that run at once do not mix', async () => {
  const inputs = Array.from({ length: 5 }, () => randomBytes(6 * MIB))
  const found = await Promise.all(
    inputs.map(async (bytes) => {
      using digests = openThreadDigests(KEY, { each: false })
      for (const block of cut(bytes, 700_000)) await Promise.race([digests.add(block), Promise.resolve()])
      return asBuffers({ ...(await digests.finish()) })
    }),
  )
  assert.deepEqual(
    found,
    inputs.map((bytes) => asBuffers(totalsOf(bytes))),
  )
})

test('digests that are given up do not hold up the next, nor the process', async () => {
  for (let i = 0; i < 20; i++) {
    using digests = openThreadDigests(KEY, { each: false })
    for (const block of cut(randomBytes(6 * MIB), MIB)) void digests.add(block).catch(() => {})
  }
  using digests = openThreadDigests(KEY, { each: false })
  const bytes = randomBytes(6 * MIB)
  for (const block of cut(bytes, MIB)) await digests.add(block).catch(assert.fail)
  assert.deepEqual(asBuffers({ ...(await digests.finish()) }), asBuffers(totalsOf(bytes)))
})

test('whoever waits for digests that are given up is told', async () => {
  const digests = openThreadDigests(KEY, { each: false })
  const added = cut(randomBytes(6 * MIB), MIB).map((block) => digests.add(block))
  const totals = digests.finish()
  digests[Symbol.dispose]()
  await assert.rejects(totals, /given up/)
  await assert.rejects(added.at(-1) ?? assert.fail(), /given up/)
})

test('once the thread has died every block is told so, and the next digests have another', async () => {
  const digests = openThreadDigests(KEY, { each: false })
  // What cannot be hashed is the end of a thread, as lack of memory would be.
  const fatal = { buffer: new ArrayBuffer(1) } as Uint8Array<ArrayBuffer>
  await assert.rejects(digests.add(fatal))
  await assert.rejects(digests.add(new Uint8Array(1)))
  await assert.rejects(digests.finish())
  digests[Symbol.dispose]()
  using next = openThreadDigests(KEY, { each: false })
  const added = next.add(Uint8Array.of(1))
  assert.deepEqual(asBuffers({ ...(await next.finish()) }), asBuffers(totalsOf(Uint8Array.of(1))))
  await added
})
