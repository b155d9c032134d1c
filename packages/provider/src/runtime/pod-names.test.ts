import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bridgeName } from './pod-names.ts'

const ID = 'c0ffee0123456789'.repeat(4)

test('a bridge has the longest name that the kernel takes, and the same one each time', () => {
  for (const id of [ID, '0'.repeat(64), 'f'.repeat(64)]) assert.match(bridgeName(id), /^tp-[0-9a-z]{12}$/)
  assert.equal(bridgeName(ID), bridgeName(ID))
})

test('terms that were tried until 32 or 48 bits of their id are those of another pod do not get its bridge', () => {
  for (const hex of [8, 12]) {
    const [head, tail] = [ID.slice(0, hex), ID.slice(-hex)]
    assert.notEqual(bridgeName(`${head}${'0'.repeat(64 - hex)}`), bridgeName(ID))
    assert.notEqual(bridgeName(`${'0'.repeat(64 - hex)}${tail}`), bridgeName(ID))
  }
})
