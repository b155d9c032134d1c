import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sha256, toHex } from '../bytes.ts'
import { reportData, type StatementFields, sessionId } from './statement.ts'

const statement: StatementFields = {
  nonce: new Uint8Array(32).fill(7),
  publisherPeerId: new Uint8Array(38).fill(1),
  providerPeerId: new Uint8Array(38).fill(2),
  hpkePublicKey: new Uint8Array(32).fill(3),
  meterAddress: new Uint8Array(20).fill(4),
  evidenceType: 'snp',
  capacityDigest: await sha256(new Uint8Array()),
  claimsDigest: await sha256(new TextEncoder().encode('{}')),
}

test('report data and session id are those of an independent implementation (Python hashlib)', async () => {
  const data = await reportData(statement)
  assert.equal(
    toHex(data),
    '71f7f625f40f10d561651ee0cf93292e8aa51c3145744a934c167e1b2a105ac43f15c89ba29791d55aca05e86b5a9a2863470c016e4caaaab9cb1cd9ad75ca0a',
  )
  assert.equal(toHex(await sessionId(data)), 'e8bbe3ab8b451bed57baae096c4828cdde8fdd131ee6e0df8f27798e845fd747')
})

test('a bit of any field changes the report data', async () => {
  const data = toHex(await reportData(statement))
  for (const [name, value] of Object.entries(statement)) {
    const changed = typeof value === 'string' ? 'tdx' : flipLastBit(value)
    assert.notEqual(toHex(await reportData({ ...statement, [name]: changed })), data, name)
  }
})

test('bytes moved from one field to the next change the report data', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.nat(), async (bytes, cut) => {
      const at = cut % bytes.length
      const split = { ...statement, publisherPeerId: bytes.slice(0, at), providerPeerId: bytes.slice(at) }
      const whole = { ...statement, publisherPeerId: bytes, providerPeerId: new Uint8Array() }
      assert.notEqual(toHex(await reportData(split)), toHex(await reportData(whole)))
    }),
  )
})

function flipLastBit(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte))
}
