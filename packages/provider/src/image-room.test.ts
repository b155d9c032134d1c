import assert from 'node:assert/strict'
import { statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import { QuoteSchema, SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { bytesToCome, imageRoom } from './image-room.ts'

const folder = tmpdir()
const GIB = 1024 ** 3

test('images over the limit are refused, those at the limit are not', async () => {
  const requireRoom = imageRoom({ folder, maxImageBytes: 1000, diskReserveBytes: 0, owedBytes: () => 0 })
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
  const limits = { folder, maxImageBytes: 2 * free, diskReserveBytes: Math.max(0, free - GIB) }
  const requireRoom = imageRoom({ ...limits, owedBytes: () => 0 })
  await requireRoom(0n)
  await assert.rejects(requireRoom(BigInt(2 * GIB)), { code: 'QUOTE_NO_CAPACITY', message: /bytes free/ })
})

test('what other pods were promised and have yet to fetch is not promised again', async () => {
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  const row = (imageBytes: bigint, fetchedBytes: number) => {
    const quote = toBinary(QuoteSchema, create(QuoteSchema, { imageBytes }))
    return { quote: toBinary(SignedQuoteSchema, create(SignedQuoteSchema, { quote })), fetchedBytes }
  }
  assert.equal(bytesToCome([row(1000n, 400), row(1000n, 1000), row(0n, 5)]), 600)
  let pods = [row(BigInt(free), free)]
  const requireRoom = imageRoom({
    folder,
    maxImageBytes: 2 * free,
    diskReserveBytes: 0,
    owedBytes: () => bytesToCome(pods),
  })
  await requireRoom(1000n)
  pods = [row(BigInt(free), 0)]
  await assert.rejects(requireRoom(BigInt(GIB)), { code: 'QUOTE_NO_CAPACITY', message: /bytes free/ })
})
