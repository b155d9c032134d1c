import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromHex, toHex } from '../bytes.ts'
import { TrustedPodsError } from '../errors.ts'
import {
  DerCursor,
  readBitString,
  readDer,
  readDerBoolean,
  readOid,
  readSmallInteger,
  readText,
  readTime,
  readUnsigned,
  TAG,
} from './der.ts'

function bytes(hex: string): Uint8Array {
  const found = fromHex(hex)
  assert.ok(found)
  return found
}

const MALFORMED = { code: 'ATTEST_EVIDENCE_MALFORMED' }

test('values are read with their tag, content and whole bytes', () => {
  const cursor = new DerCursor(bytes('0201050500'))
  const integer = cursor.next(TAG.integer)
  assert.equal(toHex(integer.content), '05')
  assert.equal(toHex(integer.raw), '020105')
  assert.equal(cursor.optional(TAG.sequence), undefined)
  assert.equal(cursor.next(TAG.null).content.length, 0)
  cursor.end()
})

test('a view into a larger buffer is read from its own start', () => {
  const view = bytes('ffff020107ffff').subarray(2, 5)
  assert.equal(readSmallInteger(readDer(view, TAG.integer)), 7)
})

const REFUSED = {
  'no byte': '',
  'no length': '04',
  'content cut off': '0402aa',
  'a byte behind': '0401aabb',
  'another tag': '0201aa',
  'an indefinite length': '0480aa0000',
  'a long form for a short length': '048101aa',
  'a length with a leading zero': `04820080${'aa'.repeat(128)}`,
  'a length of four bytes': '048400000001aa',
  'a tag above 30': '1f81040400',
}

for (const [name, hex] of Object.entries(REFUSED)) {
  test(`${name} is refused`, () => assert.throws(() => readDer(bytes(hex), TAG.octetString), MALFORMED))
}

const VALUES = [
  ['a negative integer', '0201ff', readUnsigned],
  ['an empty integer', '0200', readUnsigned],
  ['an integer with a needless zero', '02020001', readUnsigned],
  ['a small integer of three bytes', '0203010000', readSmallInteger],
  ['a boolean of 01', '010101', readDerBoolean],
  ['a boolean of two bytes', '0102ffff', readDerBoolean],
  ['bits that do not fill a byte', '030201fe', readBitString],
  ['no bits', '0300', readBitString],
  ['an empty OID', '0600', readOid],
  ['an OID cut within an arc', '06022a86', readOid],
  ['an OID arc with a leading zero', '06032a8001', readOid],
  ['a long OID', `0621${'01'.repeat(33)}`, readOid],
  ['a text that is not UTF-8', '0c01ff', readText],
  ['a BMPString', '1e020041', readText],
  ['a time without seconds', '170b323630313031303030305a', readTime],
  ['a time with an offset', '1711323630313031303030303030 2b30313030'.replace(' ', ''), readTime],
  ['the 30th of February', '170d3236303233303030303030305a', readTime],
  ['the 24th hour', '170d3236303130313234303030305a', readTime],
] as const

for (const [name, hex, read] of VALUES) {
  test(`${name} is refused`, () => assert.throws(() => read(new DerCursor(bytes(hex)).any()), MALFORMED))
}

test('object identifiers are dotted text, also beyond 64 bits', () => {
  assert.equal(readOid(readDer(bytes('060a2b060104019c78010309'), TAG.oid)), '1.3.6.1.4.1.3704.1.3.9')
  assert.equal(readOid(readDer(bytes('0603883703'), TAG.oid)), '2.999.3')
})

test('both kinds of time are read', () => {
  const utc = readTime(new DerCursor(bytes('170d3439313233313233353935395a')).any())
  assert.equal(utc.toISOString(), '2049-12-31T23:59:59.000Z')
  const generalized = readTime(new DerCursor(bytes('180f32303530303130313030303030305a')).any())
  assert.equal(generalized.toISOString(), '2050-01-01T00:00:00.000Z')
  const last = readTime(new DerCursor(bytes('170d3530303130313030303030305a')).any())
  assert.equal(last.getUTCFullYear(), 1950)
})

test('any bytes are read or refused with ATTEST_EVIDENCE_MALFORMED', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (input) => {
      const cursor = new DerCursor(input)
      try {
        while (!cursor.isDone) {
          const value = cursor.any()
          for (const read of [readUnsigned, readDerBoolean, readBitString, readOid, readText, readTime]) read(value)
        }
      } catch (error) {
        assert.ok(error instanceof TrustedPodsError && error.code === 'ATTEST_EVIDENCE_MALFORMED')
      }
    }),
  )
})
