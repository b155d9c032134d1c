import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openBackgroundSha256 } from './background-sha256.ts'

const MIB = 1024 * 1024
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()

async function digestInPieces(bytes: Uint8Array, pieceBytes: number): Promise<Uint8Array> {
  using digest = openBackgroundSha256()
  for (let at = 0; at < bytes.length; at += pieceBytes) await digest.update(bytes.subarray(at, at + pieceBytes))
  return await digest.digest()
}

test('the digest is that of the whole input, here or on the other thread, however it is cut', async () => {
  for (const length of [0, 1, MIB, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB + 17]) {
    const bytes = randomBytes(length)
    for (const pieceBytes of [100_003, MIB, 20 * MIB])
      assert.deepEqual(
        Buffer.from(await digestInPieces(bytes, pieceBytes)),
        sha256(bytes),
        `${length} by ${pieceBytes}`,
      )
  }
})

test('digests that run at once do not mix, and bytes may change once they were taken', async () => {
  const inputs = Array.from({ length: 5 }, () => randomBytes(12 * MIB))
  const wanted = inputs.map(sha256)
  const found = await Promise.all(
    inputs.map(async (bytes) => {
      using digest = openBackgroundSha256()
      const reused = Buffer.alloc(700_000)
      for (let at = 0; at < bytes.length; at += reused.length) {
        const length = bytes.copy(reused, 0, at)
        await digest.update(reused.subarray(0, length))
      }
      return Buffer.from(await digest.digest())
    }),
  )
  assert.deepEqual(found, wanted)
})

test('a digest that is given up does not hold up the next, nor the process', async () => {
  for (let i = 0; i < 20; i++) {
    using digest = openBackgroundSha256()
    for (let n = 0; n < 6; n++) await digest.update(randomBytes(MIB))
  }
  const bytes = randomBytes(6 * MIB)
  assert.deepEqual(Buffer.from(await digestInPieces(bytes, MIB)), sha256(bytes))
})

test('a digest that was given up while somebody waits for it is an error', async () => {
  const digest = openBackgroundSha256()
  for (let n = 0; n < 6; n++) await digest.update(randomBytes(MIB))
  const waiting = digest.digest()
  digest[Symbol.dispose]()
  await assert.rejects(waiting, /given up/)
})
