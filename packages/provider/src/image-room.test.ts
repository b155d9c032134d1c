import assert from 'node:assert/strict'
import { statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { imageRoom } from './image-room.ts'

const folder = tmpdir()
const GIB = 1024 ** 3

test('images over the limit are refused, those at the limit are not', async () => {
  const requireRoom = imageRoom({ folder, maxImageBytes: 1000, diskReserveBytes: 0 })
  await requireRoom(0n)
  await requireRoom(1000n)
  await assert.rejects(requireRoom(1001n), {
    code: 'QUOTE_NO_CAPACITY',
    message: "the pod's images have 1001 bytes, this provider takes at most 1000",
  })
  await assert.rejects(requireRoom(2n ** 64n - 1n), { code: 'QUOTE_NO_CAPACITY' })
})

test('images that would eat into the reserve of the disk are refused', async () => {
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  const requireRoom = imageRoom({ folder, maxImageBytes: 2 * free, diskReserveBytes: Math.max(0, free - GIB) })
  await requireRoom(0n)
  await assert.rejects(requireRoom(BigInt(2 * GIB)), { code: 'QUOTE_NO_CAPACITY', message: /bytes free/ })
})
