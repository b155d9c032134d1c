import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTcb, isAtLeast, isSameTcb, toTcb } from './tcb.ts'

const BYTES = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8])

test('the components lie where the processor line has them', () => {
  assert.deepEqual(toTcb(BYTES, 'Milan'), { fmc: 0, bl: 1, tee: 2, snp: 7, ucode: 8 })
  assert.deepEqual(toTcb(BYTES, 'Genoa'), { fmc: 0, bl: 1, tee: 2, snp: 7, ucode: 8 })
  assert.deepEqual(toTcb(BYTES, 'Turin'), { fmc: 1, bl: 2, tee: 3, snp: 4, ucode: 8 })
})

test('versions are compared by component, not as one number', () => {
  const floor = { fmc: 0, bl: 3, tee: 0, snp: 23, ucode: 209 }
  assert.equal(isAtLeast(floor, floor), true)
  assert.equal(isAtLeast({ ...floor, ucode: 255, bl: 2 }, floor), false)
  assert.equal(isAtLeast({ ...floor, bl: 255, ucode: 208 }, floor), false)
  assert.equal(isSameTcb({ ...floor, fmc: 1 }, floor), false)
})

test('a version reads as its components', () => {
  assert.equal(formatTcb(toTcb(BYTES, 'Turin')), 'fmc 1 bl 2 tee 3 snp 4 ucode 8')
})
