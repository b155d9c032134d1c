import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listMountPoints, parseMountPoints } from './mount-table.ts'

test('mount points are read with their blanks, oldest first', () => {
  const table =
    '36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw\n37 36 0:5 / /mnt\\0402/a\\134b rw - tmpfs tmpfs rw\n'
  assert.deepEqual(parseMountPoints(table), ['/mnt 2', '/mnt 2/a\\b'])
  assert.deepEqual(parseMountPoints(''), [])
})

test('this machine has /proc among them', { skip: process.platform !== 'linux' && 'needs Linux' }, async () => {
  assert.ok((await listMountPoints()).includes('/proc'))
})
