/** The layer cipher against Node's own primitives, and its own inverse. */
import assert from 'node:assert/strict'
import { createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { decryptLayer, encryptLayer } from '@trusted-pods/protocol/image/ocicrypt/layer-cipher.ts'
import { bytesOf } from '@trusted-pods/protocol/image/to-blocks.ts'
import fc from 'fast-check'
import { collect, sha256Text } from '../support/image-fixture.ts'

async function* each(chunks: readonly Uint8Array[]) {
  yield* chunks
}

async function encrypt(chunks: readonly Uint8Array[]) {
  const encryption = encryptLayer(each(chunks), crypto)
  const ciphertext = await collect(bytesOf(encryption.blocks))
  return { ciphertext, expected: { name: 'layer 0', ...encryption.result() } }
}

test('what is encrypted decrypts, however both are cut', async () => {
  const property = fc.asyncProperty(
    fc.array(fc.uint8Array()),
    fc.integer({ min: 1, max: 64 }),
    async (chunks, length) => {
      const { ciphertext, expected } = await encrypt(chunks)
      const pieces: Uint8Array[] = []
      for (let at = 0; at < ciphertext.length; at += length) pieces.push(ciphertext.subarray(at, at + length))
      assert.deepEqual(await collect(decryptLayer(each(pieces), expected, crypto)), Buffer.concat(chunks))
    },
  )
  await fc.assert(property)
})

test('the ciphertext is AES-256-CTR with the whole nonce as counter, the MAC HMAC-SHA256 under the same key', async () => {
  const plaintext = randomBytes(100_000)
  const { ciphertext, expected } = await encrypt([plaintext])
  const { symmetricKey, nonce, digest } = expected.privateOptions
  const decipher = createDecipheriv('aes-256-ctr', symmetricKey, nonce)
  assert.deepEqual(decipher.update(ciphertext), plaintext)
  const hmac = createHmac('sha256', symmetricKey).update(ciphertext).digest()
  assert.deepEqual(Buffer.from(expected.publicOptions.hmac), hmac)
  assert.equal(digest, sha256Text(plaintext))
  assert.equal(expected.digest, sha256Text(ciphertext))
  assert.equal(expected.size, ciphertext.length)
})

test('a ciphertext that is cut anywhere, or one byte longer, is refused', async () => {
  const { ciphertext, expected } = await encrypt([randomBytes(100)])
  const refused = { code: 'PROVISION_IMAGE_REFUSED', message: /layer 0: / }
  for (let length = 0; length < ciphertext.length; length++)
    await assert.rejects(collect(decryptLayer(each([ciphertext.subarray(0, length)]), expected, crypto)), refused)
  const longer = Buffer.concat([ciphertext, Buffer.alloc(1)])
  await assert.rejects(collect(decryptLayer(each([longer]), expected, crypto)), refused)
})

test('key and nonce are fresh each time', async () => {
  const [a, b] = [(await encrypt([])).expected.privateOptions, (await encrypt([])).expected.privateOptions]
  assert.notDeepEqual(a.symmetricKey, b.symmetricKey)
  assert.notDeepEqual(a.nonce, b.nonce)
})
