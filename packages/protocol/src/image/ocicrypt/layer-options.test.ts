import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  encodePrivateOptions,
  encodePublicOptions,
  fromBase64,
  parsePrivateOptions,
  parsePublicOptions,
  toBase64,
} from './layer-options.ts'

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const digest = bytes(32).map((each) => `sha256:${Buffer.from(each).toString('hex')}`)
const PRIVATE = {
  symmetricKey: new Uint8Array(32).fill(1),
  nonce: new Uint8Array(16).fill(2),
  digest: `sha256:${'0a'.repeat(32)}`,
}
const encode = (value: unknown) => Buffer.from(JSON.stringify(value))
const refused = (message: RegExp) => ({ name: 'TrustedPodsError', code: 'PROVISION_IMAGE_REFUSED', message })

test('options survive their encoding', () => {
  fc.assert(
    fc.property(bytes(32), (hmac) => assert.deepEqual(parsePublicOptions(encodePublicOptions({ hmac })), { hmac })),
  )
  fc.assert(
    fc.property(bytes(32), bytes(16), digest, (symmetricKey, nonce, digest) => {
      const options = { symmetricKey, nonce, digest }
      assert.deepEqual(parsePrivateOptions(encodePrivateOptions(options)), options)
    }),
  )
})

// The order of the fields in ocicrypt's Go structs, without spaces, as encoding/json writes them.
test('the encoding is that of ocicrypt, byte for byte', () => {
  assert.equal(
    Buffer.from(encodePublicOptions({ hmac: new Uint8Array(32) })).toString(),
    '{"cipher":"AES_256_CTR_HMAC_SHA256","hmac":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","cipheroptions":{}}',
  )
  assert.equal(
    Buffer.from(
      encodePrivateOptions({ ...PRIVATE, symmetricKey: new Uint8Array(32), nonce: new Uint8Array(16) }),
    ).toString(),
    `{"symkey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","digest":"${PRIVATE.digest}","cipheroptions":{"nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}}`,
  )
})

test('options that are cut anywhere are refused', () => {
  const [publicBytes, privateBytes] = [encodePublicOptions({ hmac: new Uint8Array(32) }), encodePrivateOptions(PRIVATE)]
  for (let length = 0; length < publicBytes.length; length++)
    assert.throws(() => parsePublicOptions(publicBytes.subarray(0, length)), refused(/not JSON/))
  for (let length = 0; length < privateBytes.length; length++)
    assert.throws(() => parsePrivateOptions(privateBytes.subarray(0, length)), refused(/not JSON/))
})

test('Go’s null for an empty map is taken as empty', () => {
  const hmac = toBase64(new Uint8Array(32))
  parsePublicOptions(encode({ cipher: 'AES_256_CTR_HMAC_SHA256', hmac, cipheroptions: null }))
})

test('refused: public options that say more, less or other than they must', () => {
  const good = { cipher: 'AES_256_CTR_HMAC_SHA256', hmac: toBase64(new Uint8Array(32)), cipheroptions: {} }
  const nonce = toBase64(new Uint8Array(16))
  for (const [change, message] of [
    [{ cipheroptions: { nonce } }, /public cipheroptions hold nonce, must be empty/],
    [{ cipheroptions: [] }, /public cipheroptions is not an object/],
    [{ CipherOptions: { nonce } }, /unknown key "CipherOptions"/],
    [{ cipher: 'AES_256_GCM' }, /cipher "AES_256_GCM", wanted AES_256_CTR_HMAC_SHA256/],
    [{ cipher: undefined }, /cipher undefined/],
    [{ hmac: toBase64(new Uint8Array(31)) }, /hmac has 31 bytes, wanted 32/],
    [{ hmac: 32 }, /hmac is not base64/],
    [{ hmac: `${good.hmac.slice(0, -1)}!` }, /hmac is not base64/],
  ] as const)
    assert.throws(() => parsePublicOptions(encode({ ...good, ...change })), refused(message))
  for (const value of [null, [], 'x', 1])
    assert.throws(() => parsePublicOptions(encode(value)), refused(/not a JSON object/))
})

test('refused: private options with wrong lengths, without digest, with unknown options; no value is quoted', () => {
  const good = JSON.parse(Buffer.from(encodePrivateOptions(PRIVATE)).toString())
  const secret = good.symkey
  for (const [change, message] of [
    [{ symkey: toBase64(new Uint8Array(31).fill(1)) }, /symkey has 31 bytes, wanted 32/],
    [{ symkey: undefined }, /symkey is not base64/],
    [{ cipheroptions: { nonce: toBase64(new Uint8Array(12)) } }, /nonce has 12 bytes, wanted 16/],
    [{ cipheroptions: {} }, /nonce is not base64/],
    [{ cipheroptions: { nonce: good.cipheroptions.nonce, other: '' } }, /private cipheroptions: unknown key "other"/],
    [{ digest: '' }, /no sha256 digest of the plaintext/],
    [{ digest: PRIVATE.digest.toUpperCase() }, /no sha256 digest of the plaintext/],
    [{ digest: `sha512:${'00'.repeat(64)}` }, /no sha256 digest of the plaintext/],
    [{ more: 1 }, /unknown key "more"/],
  ] as const)
    assert.throws(
      () => parsePrivateOptions(encode({ ...good, ...change })),
      (error: Error) => {
        assert.match(error.message, message)
        assert.ok(!error.message.includes(secret))
        return true
      },
    )
  assert.throws(
    () => parsePrivateOptions(Buffer.from(`{"symkey":"${secret}"`)),
    (error: Error) => {
      assert.ok(!`${error.message}${error.cause}`.includes(secret), 'a parser’s message would quote the text')
      return true
    },
  )
})

test('base64 is read in one spelling only', () => {
  assert.deepEqual(fromBase64('AQI='), new Uint8Array([1, 2]))
  for (const text of ['AQI', 'AQJ=', 'AQ I=', 'AQI=\n', 'A-I=', 'AQI=='])
    assert.equal(fromBase64(text), undefined, text)
})
