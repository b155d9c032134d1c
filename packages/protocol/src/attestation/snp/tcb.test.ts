import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraiseTcb } from './appraise-tcb.ts'
import { parseSnpReport, REPORT_BYTES } from './report.ts'
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

test('a version with a byte that no component has is not taken for one without', () => {
  const judge = (product: 'Genoa' | 'Turin', at: number) => {
    const raw = new Uint8Array(REPORT_BYTES)
    // Current first, so that what is set in one below it is not too high as well.
    for (const offset of [0x038, 0x1e0, 0x180]) raw.fill(9, offset, offset + 1)
    raw[at] = 1
    const checks = appraiseTcb(parseSnpReport(raw), product, undefined)
    return checks.find(({ code }) => code === 'tcb.inconsistent')?.tier
  }
  for (const tcb of [0x038, 0x180, 0x1e0, 0x1f0]) {
    for (const byte of [2, 3, 4, 5]) assert.equal(judge('Genoa', tcb + byte), 'contraindicated', `${tcb} ${byte}`)
    for (const byte of [4, 5, 6]) assert.equal(judge('Turin', tcb + byte), 'contraindicated', `${tcb} ${byte}`)
  }
  assert.equal(judge('Genoa', 0x1f0), 'affirming')
  assert.equal(judge('Turin', 0x1f0 + 3), 'affirming')
})

test('a version reads as its components', () => {
  assert.equal(formatTcb(toTcb(BYTES, 'Turin')), 'fmc 1 bl 2 tee 3 snp 4 ucode 8')
})
