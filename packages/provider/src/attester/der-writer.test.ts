/** What the writer writes, the strict reader of the verifier reads back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  readBitString,
  readDer,
  readDerBoolean,
  readOid,
  readSmallInteger,
  readText,
  readTime,
  readUnsigned,
  TAG,
} from '@trusted-pods/protocol/attestation/der.ts'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import fc from 'fast-check'
import { bitString, boolean, der, ia5String, integer, octetString, oid, time, utf8String } from './der-writer.ts'

test('content of any length comes back', () => {
  const lengths = [0, 1, 127, 128, 255, 256, 65_535, 65_536]
  for (const length of lengths) {
    const content = new Uint8Array(length).fill(0xab)
    assert.deepEqual(readDer(der(TAG.octetString, content), TAG.octetString).content, content)
  }
})

test('integers come back', () => {
  fc.assert(
    fc.property(fc.nat({ max: 0xffff }), (value) => {
      assert.equal(readSmallInteger(readDer(integer(value), TAG.integer)), value)
    }),
  )
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 160n }), (value) => {
      assert.equal(BigInt(`0x${toHex(readUnsigned(readDer(integer(value), TAG.integer)))}`), value)
    }),
  )
})

test('object identifiers with arcs of any size come back', () => {
  const arc = fc.bigInt({ min: 0n, max: 2n ** 64n })
  const first = fc.oneof(
    fc.tuple(fc.constantFrom(0n, 1n), fc.bigInt({ min: 0n, max: 39n })),
    fc.tuple(fc.constant(2n), arc),
  )
  fc.assert(
    fc.property(first, fc.array(arc, { maxLength: 2 }), (head, rest) => {
      const dotted = [...head, ...rest].join('.')
      assert.equal(readOid(readDer(oid(dotted), TAG.oid)), dotted)
    }),
  )
})

test('times come back to the second, on both sides of 2050', () => {
  const min = new Date('1950-01-01T00:00:00Z')
  const max = new Date('9999-12-31T23:59:59Z')
  fc.assert(
    fc.property(fc.date({ min, max, noInvalidDate: true }), (date) => {
      const encoded = time(date)
      const tag = date.getUTCFullYear() < 2050 ? TAG.utcTime : TAG.generalizedTime
      assert.equal(readTime(readDer(encoded, tag)).getTime(), Math.floor(date.getTime() / 1000) * 1000)
    }),
  )
})

test('texts, booleans, bits and bytes come back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      assert.equal(readText(readDer(utf8String(text), TAG.utf8String)), text)
    }),
  )
  assert.equal(readText(readDer(ia5String('Milan-B0'), TAG.ia5String)), 'Milan-B0')
  for (const value of [true, false]) assert.equal(readDerBoolean(readDer(boolean(value), TAG.boolean)), value)
  const bytes = new Uint8Array([1, 2, 3])
  assert.deepEqual(readBitString(readDer(bitString(bytes), TAG.bitString)), bytes)
  assert.deepEqual(readDer(octetString(bytes), TAG.octetString).content, bytes)
})
