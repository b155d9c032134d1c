import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CompactEncrypt, FlattenedEncrypt, GeneralEncrypt, generateSecret } from 'jose'
import { generateImageKey, importImageKey } from './image-key.ts'
import { unwrapPrivateOptions, wrapPrivateOptions } from './jwe.ts'
import { encodePrivateOptions, toBase64 } from './layer-options.ts'

const OPTIONS = {
  symmetricKey: new Uint8Array(32).fill(1),
  nonce: new Uint8Array(16).fill(2),
  digest: `sha256:${'0a'.repeat(32)}`,
}
const PLAINTEXT = encodePrivateOptions(OPTIONS)
const refused = (message: RegExp) => ({ name: 'TrustedPodsError', code: 'PROVISION_IMAGE_REFUSED', message })
const pack = (value: unknown) => toBase64(Buffer.from(JSON.stringify(value)))

async function rsaKey(hash: 'SHA-1' | 'SHA-256') {
  const algorithm = { name: 'RSA-OAEP', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash }
  const pair = await crypto.subtle.generateKey(algorithm, true, ['encrypt', 'decrypt'])
  return {
    publicKey: pair.publicKey,
    privateKey: new Uint8Array(await crypto.subtle.exportKey('pkcs8', pair.privateKey)),
  }
}

async function flattened(
  header: { alg: string; enc: string; zip?: string },
  key: Parameters<FlattenedEncrypt['encrypt']>[0],
) {
  return new FlattenedEncrypt(PLAINTEXT).setProtectedHeader(header).encrypt(key)
}

test('what is wrapped for a key unwraps with it', async () => {
  const { publicKey, privateKey } = await generateImageKey()
  const annotation = await wrapPrivateOptions(OPTIONS, publicKey)
  assert.deepEqual(await unwrapPrivateOptions(annotation, importImageKey(privateKey)), OPTIONS)
  const jwe = JSON.parse(Buffer.from(annotation, 'base64').toString())
  assert.deepEqual(Object.keys(jwe).sort(), ['ciphertext', 'encrypted_key', 'iv', 'protected', 'tag'])
  const { epk, ...header } = JSON.parse(Buffer.from(jwe.protected, 'base64url').toString())
  assert.deepEqual(header, { alg: 'ECDH-ES+A256KW', enc: 'A256GCM' })
  assert.equal(epk.crv, 'P-256')
})

test('an image key is PKCS#8 of P-256, 138 bytes, and no two are alike', async () => {
  const [a, b] = [await generateImageKey(), await generateImageKey()]
  assert.equal(a.privateKey.length, 138)
  assert.notDeepEqual(a.privateKey, b.privateKey)
})

test('RSA-OAEP, RSA-OAEP-256 and the narrower key wraps are read', async () => {
  for (const [alg, hash] of [
    ['RSA-OAEP', 'SHA-1'],
    ['RSA-OAEP-256', 'SHA-256'],
  ] as const) {
    const { publicKey, privateKey } = await rsaKey(hash)
    const annotation = pack(await flattened({ alg, enc: 'A256GCM' }, publicKey))
    assert.deepEqual(await unwrapPrivateOptions(annotation, importImageKey(privateKey)), OPTIONS)
  }
  const { publicKey, privateKey } = await generateImageKey()
  for (const alg of ['ECDH-ES+A128KW', 'ECDH-ES+A192KW']) {
    const annotation = pack(await flattened({ alg, enc: 'A256GCM' }, publicKey))
    assert.deepEqual(await unwrapPrivateOptions(annotation, importImageKey(privateKey)), OPTIONS)
  }
})

test('one of several recipients unwraps, with go-jose’s stray encrypted_key at the top', async () => {
  const [rsa, ec, stranger] = [await rsaKey('SHA-1'), await generateImageKey(), await generateImageKey()]
  const jwe = await new GeneralEncrypt(PLAINTEXT)
    .setProtectedHeader({ enc: 'A256GCM' })
    .addRecipient(rsa.publicKey)
    .setUnprotectedHeader({ alg: 'RSA-OAEP' })
    .addRecipient(ec.publicKey)
    .setUnprotectedHeader({ alg: 'ECDH-ES+A256KW' })
    .encrypt()
  for (const annotation of [pack(jwe), pack({ ...jwe, encrypted_key: 'c3RyYXk' })]) {
    for (const { privateKey } of [rsa, ec])
      assert.deepEqual(await unwrapPrivateOptions(annotation, importImageKey(privateKey)), OPTIONS)
    await assert.rejects(
      unwrapPrivateOptions(annotation, importImageKey(stranger.privateKey)),
      refused(/no JWE packet opens/),
    )
  }
})

test('the packet that was added for this key is found after one for another', async () => {
  const [first, second] = [await generateImageKey(), await generateImageKey()]
  const annotation = [
    await wrapPrivateOptions(OPTIONS, first.publicKey),
    await wrapPrivateOptions(OPTIONS, second.publicKey),
  ].join(',')
  assert.deepEqual(await unwrapPrivateOptions(annotation, importImageKey(second.privateKey)), OPTIONS)
})

test('refused: algorithms that are not on the list', async () => {
  const { publicKey, privateKey } = await generateImageKey()
  const secret = await generateSecret('A256GCM', { extractable: true })
  const password = new Uint8Array(16)
  for (const jwe of [
    await flattened({ alg: 'ECDH-ES', enc: 'A256GCM' }, publicKey),
    await flattened({ alg: 'ECDH-ES+A256KW', enc: 'A128GCM' }, publicKey),
    await flattened({ alg: 'ECDH-ES+A256KW', enc: 'A256CBC-HS512' }, publicKey),
    await flattened({ alg: 'dir', enc: 'A256GCM' }, secret),
    await flattened({ alg: 'PBES2-HS256+A128KW', enc: 'A256GCM' }, password),
  ])
    await assert.rejects(
      unwrapPrivateOptions(pack(jwe), importImageKey(privateKey)),
      refused(/no JWE packet opens with this key/),
    )
})

test('refused: a compressed packet', async () => {
  const { publicKey, privateKey } = await generateImageKey()
  const jwe = await flattened({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', zip: 'DEF' }, publicKey)
  await assert.rejects(
    unwrapPrivateOptions(pack(jwe), importImageKey(privateKey)),
    refused(/a JWE packet is compressed/),
  )
})

test('refused: an annotation that is cut anywhere, or whose packet is compact', async () => {
  const { publicKey, privateKey } = await generateImageKey()
  const key = importImageKey(privateKey)
  const annotation = await wrapPrivateOptions(OPTIONS, publicKey)
  for (let length = 0; length < annotation.length; length++)
    await assert.rejects(unwrapPrivateOptions(annotation.slice(0, length), key), refused(/JWE packet/))
  const compact = await new CompactEncrypt(PLAINTEXT)
    .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM' })
    .encrypt(publicKey)
  await assert.rejects(unwrapPrivateOptions(toBase64(Buffer.from(compact)), key), refused(/not JSON/))
})

test('refused: any changed byte of what was wrapped', async () => {
  const { publicKey, privateKey } = await generateImageKey()
  const jwe = JSON.parse(Buffer.from(await wrapPrivateOptions(OPTIONS, publicKey), 'base64').toString())
  for (const field of ['ciphertext', 'tag', 'iv', 'encrypted_key', 'protected']) {
    const bytes = Buffer.from(jwe[field], 'base64url')
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
    const changed = pack({ ...jwe, [field]: bytes.toString('base64url') })
    await assert.rejects(unwrapPrivateOptions(changed, importImageKey(privateKey)), refused(/JWE/), field)
  }
})

test('refused: more packets, recipients or bytes than anybody needs', async () => {
  const { publicKey, privateKey } = await generateImageKey()
  const key = importImageKey(privateKey)
  const annotation = await wrapPrivateOptions(OPTIONS, publicKey)
  await assert.rejects(
    unwrapPrivateOptions(Array(17).fill(annotation).join(','), key),
    refused(/17 JWE packets, at most 16/),
  )
  await assert.rejects(unwrapPrivateOptions('A'.repeat(65_537), key), refused(/JWE annotation of 65537 bytes/))
  const recipients = Array(33).fill({ header: { alg: 'ECDH-ES+A256KW' }, encrypted_key: 'AAAA' })
  await assert.rejects(unwrapPrivateOptions(pack({ recipients }), key), refused(/33 JWE recipients, at most 32/))
})
