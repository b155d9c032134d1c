/** A layer as it is stored, its tar hashed on the way past: one reading both encrypts and proves the diff_id. */
import { createHash } from 'node:crypto'
import { PassThrough } from 'node:stream'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import type { Compression } from '@trusted-pods/protocol/image/media-types.ts'
import { unpacked } from './compression.ts'

export interface LayerCheck {
  /** Names the layer in refusals. */
  readonly name: string
  readonly compression: Compression
  /** sha256:<hex> of the uncompressed tar. */
  readonly diffId: string
}

/**
 * The same bytes; to be believed only when the stream has ended without an error.
 * @throws TrustedPodsError MANIFEST_IMAGE_INVALID at the end where the tar is not what the diff_id says, or cannot be unpacked.
 */
export async function* checkedLayer(packed: AsyncIterable<Uint8Array>, check: LayerCheck): AsyncGenerator<Uint8Array> {
  if (check.compression === 'none') yield* checkedTar(packed, check)
  else yield* checkedPacked(packed, check)
}

async function* checkedTar(tar: AsyncIterable<Uint8Array>, check: LayerCheck): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  for await (const chunk of tar) {
    hash.update(chunk)
    yield chunk
  }
  compare(hash.digest('hex'), check)
}

async function* checkedPacked(packed: AsyncIterable<Uint8Array>, check: LayerCheck): AsyncGenerator<Uint8Array> {
  const feed = new PassThrough()
  let room = Promise.withResolvers<void>()
  let isOver = false
  const digest = hashUnpacked(feed, check)
  const end = () => {
    isOver = true
    room.resolve()
  }
  // What it comes to is seen below, where it is awaited.
  digest.then(end, end)
  feed.on('drain', () => room.resolve())
  try {
    for await (const chunk of packed) {
      if (!isOver && !feed.write(chunk)) {
        await room.promise
        room = Promise.withResolvers()
      }
      yield chunk
    }
    feed.end()
    compare(await digest, check)
  } finally {
    feed.destroy()
  }
}

async function hashUnpacked(feed: PassThrough, { name, compression }: LayerCheck): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of unpacked(feed, compression)) hash.update(chunk)
  } catch (cause) {
    throw invalidImage(`${name} is not ${compression}, as its type says`, cause)
  }
  return hash.digest('hex')
}

function compare(hex: string, { name, diffId }: LayerCheck): void {
  if (`sha256:${hex}` !== diffId) throw invalidImage(`${name} is sha256:${hex}, the config's diff_id says ${diffId}`)
}
