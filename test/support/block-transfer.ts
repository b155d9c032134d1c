/** Publishers that serve blocks truly, slowly or falsely, over a real connection. */
import assert from 'node:assert/strict'
import type { Connection, Stream } from '@libp2p/interface'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { BlockMessageSchema, BlocksRequestSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/blocks_pb.ts'
import { publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { framed } from '@trusted-pods/protocol/wire/framing.ts'
import { BLOCKS } from '@trusted-pods/protocol/wire/protocols.ts'
import { MemoryBlockstore } from 'blockstore-core'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'
import { collect, imageSource, randomTar } from './image-fixture.ts'
import type { NodePair } from './nodes.ts'

export const MAX_BYTES = 2 ** 30

export async function blocksOf(blockstore: Blockstore): Promise<Map<string, Uint8Array>> {
  const blocks = new Map<string, Uint8Array>()
  for await (const { cid, bytes } of blockstore.getAll())
    blocks.set(
      Buffer.from(cid.multihash.digest).toString('hex'),
      await collect(
        (async function* () {
          yield* bytes
        })(),
      ),
    )
  return blocks
}

export const totalBytes = (blocks: Map<string, Uint8Array>) =>
  [...blocks.values()].reduce((sum, { length }) => sum + length, 0)

export async function publishBlocks() {
  const blockstore = new MemoryBlockstore()
  const tars = [await randomTar(9_000_000), await randomTar(50_000)]
  const published = await publishImage(imageSource(tars.map((tar) => ({ tar }))), { blockstore, crypto })
  return { blockstore, tars, published }
}

/** The publisher dialled the provider; blocks are pulled the other way, over the same connection. */
export async function backwards({ provider, publisher }: NodePair): Promise<Connection> {
  const opened = Promise.withResolvers<Connection>()
  provider.addEventListener('connection:open', ({ detail }) => opened.resolve(detail), { once: true })
  return provider.getConnections(publisher.peerId)[0] ?? opened.promise
}

/** A publisher that answers every CID as the test says; undefined: never. */
export async function serveInstead(
  { publisher }: NodePair,
  answer: (cid: Uint8Array) => { cid: Uint8Array; found: boolean; data?: Uint8Array } | undefined,
) {
  await publisher.handle(BLOCKS.id, async (stream: Stream) => {
    const frames = framed(stream, { readBytes: BLOCKS.requestBytes, writeBytes: 4 * BLOCKS.responseBytes })
    for (;;) {
      const request = await frames.readOrEnd(BlocksRequestSchema)
      if (!request) return
      for (const cid of request.cids) {
        const message = answer(cid)
        if (message) await frames.write(BlockMessageSchema, message)
      }
    }
  })
}

export function fails(code: string, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof TrustedPodsError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  }
}

export async function serveSlowly({ publisher }: NodePair, blockstore: MemoryBlockstore, delayMs: number) {
  await publisher.handle(BLOCKS.id, async (stream: Stream) => {
    const frames = framed(stream, { readBytes: BLOCKS.requestBytes, writeBytes: BLOCKS.responseBytes })
    for (
      let request = await frames.readOrEnd(BlocksRequestSchema);
      request;
      request = await frames.readOrEnd(BlocksRequestSchema)
    ) {
      for (const cid of request.cids) {
        await new Promise((resolve) => setTimeout(resolve, delayMs))
        const data = await collect(
          (async function* () {
            yield* blockstore.get(CID.decode(cid))
          })(),
        )
        await frames.write(BlockMessageSchema, { cid, found: true, data })
      }
    }
  })
}
