import assert from 'node:assert/strict'
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { nodeStreamCrypto as crypto } from './stream-crypto.ts'
import { decompressFrames } from './zstd-frames.ts'

const hex = (text: string) => Buffer.from(text, 'hex')

async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of bytes) parts.push(chunk)
  return Buffer.concat(parts)
}

async function* pieces(bytes: Uint8Array, length: number) {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

// NIST SP 800-38A, F.5.5 CTR-AES256.Encrypt
test('AES-256-CTR gives the vectors of NIST SP 800-38A, however the input is cut', () => {
  const key = hex('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4')
  const counter = hex('f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff')
  const plaintext = hex(
    '6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710',
  )
  const ciphertext = hex(
    '601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c52b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6',
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), (length) => {
      const cipher = crypto.aes256Ctr(key, counter)
      const parts: Uint8Array[] = []
      for (let at = 0; at < 64; at += length) parts.push(cipher.update(plaintext.subarray(at, at + length)))
      assert.deepEqual(Buffer.concat(parts), ciphertext)
    }),
  )
})

test('the counter is 128 bits wide: it wraps as WebCrypto’s with length 128', async () => {
  const [key, counter, plaintext] = [randomBytes(32), new Uint8Array(16).fill(0xff), new Uint8Array(48)]
  const imported = await globalThis.crypto.subtle.importKey('raw', key, 'AES-CTR', false, ['encrypt'])
  const expected = await globalThis.crypto.subtle.encrypt(
    { name: 'AES-CTR', counter, length: 128 },
    imported,
    plaintext,
  )
  assert.deepEqual(Buffer.from(crypto.aes256Ctr(key, counter).update(plaintext)), Buffer.from(expected))
})

test('digest and MAC are those of the whole input, however it is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array()), (chunks) => {
      const [digest, mac, whole] = [crypto.sha256(), crypto.hmacSha256(hex('00'.repeat(32))), Buffer.concat(chunks)]
      for (const chunk of chunks) {
        digest.update(chunk)
        mac.update(chunk)
      }
      assert.deepEqual(digest.digest(), createHash('sha256').update(whole).digest())
      assert.deepEqual(
        mac.digest(),
        createHmac('sha256', hex('00'.repeat(32)))
          .update(whole)
          .digest(),
      )
    }),
  )
})

test('what was compressed decompresses', async () => {
  const bytes = Buffer.concat([randomBytes(700_000), Buffer.alloc(700_000)])
  const packed = await collect(crypto.gzip(pieces(bytes, 100_000)))
  assert.ok(packed.length < bytes.length)
  assert.ok((await collect(crypto.gunzip(pieces(packed, 65_536)))).equals(bytes))
  assert.ok((await collect(crypto.unzstd(pieces(zstdCompressSync(bytes), 65_536)))).equals(bytes))
})

test('gzip of several members, as eStargz writes it, decompresses to its end', async () => {
  const [a, b] = [randomBytes(1000), randomBytes(1000)]
  const packed = Buffer.concat([gzipSync(a), gzipSync(b)])
  assert.ok((await collect(crypto.gunzip(pieces(packed, 100)))).equals(Buffer.concat([a, b])))
})

test('a compressed stream that is cut anywhere, or is none, is an error', async () => {
  const packed = gzipSync(Buffer.from('some text'))
  for (let length = 1; length < packed.length; length++)
    await assert.rejects(collect(crypto.gunzip(pieces(packed.subarray(0, length), 5))))
  await assert.rejects(collect(crypto.gunzip(pieces(Buffer.from('no gzip at all'), 5))))
  await assert.rejects(collect(crypto.unzstd(pieces(Buffer.from('no zstd at all'), 5))))
})

test('an error of the source comes through as it is, and a reader that leaves early ends the source', async () => {
  const failure = new Error('disk on fire')
  async function* failing() {
    yield randomBytes(10)
    throw failure
  }
  await assert.rejects(collect(crypto.gzip(failing())), failure)
  const ended = Promise.withResolvers<void>()
  async function* endless() {
    try {
      for (;;) yield randomBytes(100_000)
    } finally {
      ended.resolve()
    }
  }
  for await (const _ of crypto.gzip(endless())) break
  await ended.promise
})

/** RFC 8878 §3.1.2: a magic number, a length, content to be passed over. */
function skippableFrame(length: number): Buffer {
  const frame = Buffer.alloc(8 + length, 0xfd)
  frame.writeUInt32LE(0x184d2a53, 0)
  frame.writeUInt32LE(length, 4)
  return frame
}

test('zstd of many frames, skippable ones among them, decompresses to its end however it is cut', async () => {
  const parts = [randomBytes(300_000), Buffer.alloc(500_000, 7), Buffer.alloc(0), randomBytes(10)]
  const frames = [skippableFrame(100_000), ...parts.flatMap((part) => [zstdCompressSync(part), skippableFrame(3)])]
  for (const length of [1, 7, 65_536, 1_000_000])
    assert.ok((await collect(crypto.unzstd(pieces(Buffer.concat(frames), length)))).equals(Buffer.concat(parts)))
})

test('a zstd stream of frames that is cut inside one, or goes on as something else, is an error', async () => {
  const two = Buffer.concat([zstdCompressSync(randomBytes(5000)), zstdCompressSync(Buffer.from('second'))])
  const boundary = zstdCompressSync(randomBytes(5000)).length
  for (const end of [0, 3, 4, 5, 100, boundary - 1, boundary + 1, boundary + 5, two.length - 1])
    await assert.rejects(collect(crypto.unzstd(pieces(two.subarray(0, end), 1000))), /zstd stream is cut|end/, `${end}`)
  await assert.rejects(collect(crypto.unzstd(pieces(Buffer.concat([two, Buffer.alloc(9)]), 1000))), /does not begin/)
})

test('a zstd stream cut up into next to nothing is an error: each frame or block costs its reader more than it brings', async () => {
  const emptyFrame = zstdCompressSync(Buffer.alloc(0))
  const frames = Buffer.concat(Array.from({ length: 10_000 }, () => emptyFrame))
  // A frame header without a content size, blocks of no bytes, the last block.
  const blocks = Buffer.concat([Buffer.from('28b52ffd0058', 'hex'), Buffer.alloc(3 * 10_000), Buffer.of(1, 0, 0)])
  for (const packed of [frames, blocks])
    await assert.rejects(collect(crypto.unzstd(pieces(packed, 65_536))), /has over \d+ frames and blocks/)
})

test('a zstd stream in which each of many small files has a frame decompresses', async () => {
  // As zstd:chunked has it: a tar header's frame, then one of content.
  const header = randomBytes(60)
  const files = Array.from({ length: 10_000 }, (_, i) => [header, Buffer.from(`${i}`)]).flat()
  const packed = Buffer.concat(files.map((file) => zstdCompressSync(file)))
  assert.ok((await collect(crypto.unzstd(pieces(packed, 65_536)))).equals(Buffer.concat(files)))
})

test('what we compress by zstd is one frame, which a reader of one frame alone reads whole', async () => {
  for (const size of [0, 1, 262_144, 5_000_000]) {
    const bytes = randomBytes(size)
    const packed = await collect(crypto.zstd(pieces(bytes, 50_000)))
    assert.ok(zstdDecompressSync(packed).equals(bytes), `${size} bytes`)
    let frames = 0
    for await (const _ of decompressFrames(pieces(packed, 1000), async function* (frame) {
      frames++
      yield* frame
    }));
    assert.equal(frames, 1)
  }
})
