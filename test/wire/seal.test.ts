/** Sealing to the attested key, bound to the session. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateHpkeKey, sealPod, unsealPod } from '@trusted-pods/protocol/wire/seal.ts'

const pod = new TextEncoder().encode('a pod with its keys')
const session = new Uint8Array(32).fill(1)

test('what was sealed opens with the key and the session', async () => {
  const keyPair = await generateHpkeKey()
  const sealed = await sealPod(pod, { hpkePublicKey: keyPair.publicKey, session })
  assert.deepEqual(await unsealPod(sealed, { keyPair, session }), pod)
  assert.equal(Buffer.from(sealed.sealed).includes(Buffer.from(pod)), false)
})

test('another session, another key and each changed byte are refused with one and the same message', async () => {
  const keyPair = await generateHpkeKey()
  const sealed = await sealPod(pod, { hpkePublicKey: keyPair.publicKey, session })
  const refused = {
    code: 'PROVISION_UNSEALING_FAILED',
    message: 'the sealed pod does not open with the attested key in this session',
  }
  await assert.rejects(unsealPod(sealed, { keyPair, session: new Uint8Array(32).fill(2) }), refused)
  await assert.rejects(unsealPod(sealed, { keyPair: await generateHpkeKey(), session }), refused)
  await assert.rejects(unsealPod({ ...sealed, encapsulatedKey: new Uint8Array(32) }, { keyPair, session }), refused)
  for (let i = 0; i < sealed.sealed.length; i++) {
    const changed = sealed.sealed.slice()
    changed[i] = (changed[i] ?? 0) ^ 1
    await assert.rejects(unsealPod({ ...sealed, sealed: changed }, { keyPair, session }), refused)
    await assert.rejects(unsealPod({ ...sealed, sealed: sealed.sealed.slice(0, i) }, { keyPair, session }), refused)
  }
})
