import assert from 'node:assert/strict'
import { test } from 'node:test'
import { productByCpuid, productByName } from './product.ts'
import { findReservedByte, parseSnpReport, REPORT_BYTES, readSignature } from './report.ts'

function reportWith(version: number, ...bytes: [number, number][]) {
  const raw = new Uint8Array(REPORT_BYTES)
  raw[0] = version
  for (const [at, byte] of bytes) raw[at] = byte
  return parseSnpReport(raw)
}

test('a report of any other length is refused', () => {
  for (let length = 0; length < REPORT_BYTES + 2; length++) {
    if (length === REPORT_BYTES) continue
    assert.throws(() => parseSnpReport(new Uint8Array(length)), { code: 'ATTEST_EVIDENCE_MALFORMED' })
  }
})

test('fields are read from a view as from a buffer of its own', () => {
  const buffer = new Uint8Array(REPORT_BYTES + 10)
  buffer[10] = 3
  buffer[10 + 0x0c] = 1
  buffer[10 + 0x1a0] = 9
  const report = parseSnpReport(buffer.subarray(10))
  assert.equal(report.version, 3)
  assert.deepEqual(report.policy, { low: 0, high: 1 })
  assert.equal(report.chipId[0], 9)
})

test('each part that must be zero is looked at, as the version says', () => {
  const always = [0x04c, 0x04f, 0x18b, 0x19f, 0x1eb, 0x1ef, 0x208, 0x29f, 0x330, 0x49f]
  for (const version of [2, 3, 4, 5]) {
    assert.equal(findReservedByte(reportWith(version)), undefined)
    for (const at of always) assert.equal(findReservedByte(reportWith(version, [at, 1])), at)
  }
  assert.equal(findReservedByte(reportWith(2, [0x188, 1])), 0x188)
  assert.equal(findReservedByte(reportWith(3, [0x188, 1])), undefined)
  assert.equal(findReservedByte(reportWith(4, [0x1f8, 1])), 0x1f8)
  assert.equal(findReservedByte(reportWith(5, [0x1f8, 1])), undefined)
})

test('R and S are turned to big-endian, and a field wider than 48 bytes is none', () => {
  const signature = readSignature(reportWith(5, [0x2a0, 1], [0x2e8, 2]))
  assert.equal(signature?.[47], 1)
  assert.equal(signature?.[95], 2)
  assert.equal(readSignature(reportWith(5, [0x2a0 + 48, 1])), undefined)
  assert.equal(readSignature(reportWith(5, [0x2e8 + 71, 1])), undefined)
})

test('the CPUID names the line, and an unknown one names none', () => {
  const cpuid = (family: number, model: number, version = 3) =>
    productByCpuid(reportWith(version, [0x188, family], [0x189, model]))
  assert.equal(cpuid(0x19, 0x01), 'Milan')
  assert.equal(cpuid(0x19, 0x11), 'Genoa')
  assert.equal(cpuid(0x19, 0xa0), 'Genoa')
  assert.equal(cpuid(0x1a, 0x02), 'Turin')
  assert.equal(cpuid(0x1a, 0x50), undefined)
  assert.equal(cpuid(0x19, 0x20), undefined)
  assert.equal(cpuid(0, 0), 'Simulated')
  assert.equal(cpuid(0, 0, 2), undefined)
})

test('the name of a certificate is the line, with or without a stepping', () => {
  assert.equal(productByName('Milan-B0'), 'Milan')
  assert.equal(productByName('Turin'), 'Turin')
  assert.equal(productByName('Milanese'), undefined)
  assert.equal(productByName(''), undefined)
})

test('Siena is endorsed as Genoa', () => {
  assert.equal(productByName('Siena'), 'Genoa')
  assert.equal(productByName('Siena-B2'), 'Genoa')
  assert.equal(productByName('Sienaese'), undefined)
  assert.equal(productByName('constructor'), undefined)
})
