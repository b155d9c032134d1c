/** Transfer of image blocks by CID: the publisher serves, the provider pulls. Spec: spec/IMAGES.md#transfer. */
import { create, toBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { PeerId, Stream } from '@libp2p/interface'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'
import { TrustedPodsError } from '../errors.ts'
import { BlockMessageSchema, BlocksRequestSchema } from '../gen/trustedpods/v0/blocks_pb.ts'
import { Deadline } from '../wire/deadline.ts'
import { framed } from '../wire/framing.ts'
import { BLOCKS, EXCHANGES_PER_PROTOCOL } from '../wire/protocols.ts'
import type { Host } from '../wire/serve.ts'
import { checkCid, loadBlock } from './block.ts'
import { type FetchTreeOptions, fetchTreeFrom } from './fetch-tree.ts'
import { type BlockConnection, peerSource } from './peer-source.ts'
import { MAX_BATCH_BLOCKS } from './tree-walk.ts'

/** Largest block that is sent: the chunk size of the tree. */
const MAX_SENT_BYTES = 1024 * 1024

export interface ServeBlocksOptions {
  readonly blockstore: Blockstore
  /** Who may pull; absent: anybody who knows a CID. What is served is ciphertext. */
  readonly allow?: (peer: PeerId) => boolean
  /** Called with the bytes of each block that was sent. */
  readonly onSent?: (bytes: number) => void
}

/** Serves blocks until `host.unhandle(BLOCKS.id)`. A peer that is not allowed, or asks for what is not legal, is reset. */
export async function serveBlocks(host: Host, { allow, ...options }: ServeBlocksOptions): Promise<void> {
  let running = 0
  await host.handle(
    BLOCKS.id,
    async (stream, connection) => {
      running++
      try {
        if (allow && !allow(connection.remotePeer)) throw new Error('this peer may not pull')
        if (running > EXCHANGES_PER_PROTOCOL) throw new Error('too many peers pull')
        await answerAll(stream, options)
      } catch (error) {
        // The puller sees the reset and says why it has no image; nothing here depends on it.
        stream.abort(error instanceof Error ? error : new Error(String(error)))
      } finally {
        running--
      }
    },
    { maxInboundStreams: BLOCKS.streamsPerConnection },
  )
}

async function answerAll(stream: Stream, { blockstore, onSent }: Omit<ServeBlocksOptions, 'allow'>): Promise<void> {
  const frames = framed(stream, { readBytes: BLOCKS.requestBytes, writeBytes: BLOCKS.responseBytes })
  using limit = new Deadline(BLOCKS.timeoutMs, { signals: [frames.closed] })
  for (;;) {
    const request = await limit.during((signal) => frames.readOrEnd(BlocksRequestSchema, { signal }))
    if (!request) break
    for (const cid of parseCids(request.cids)) {
      // Whoever asks hashes it: done twice, that would be a fifth of our work.
      const data = await loadBlock(blockstore, cid)
      const found = data !== undefined && data.length <= MAX_SENT_BYTES
      const head = toBinary(BlockMessageSchema, create(BlockMessageSchema, { cid: cid.bytes, found }))
      const body = found ? [head, dataField(data.length), data] : [head]
      await limit.during((signal) => frames.writeBody(body, { signal }))
      if (found) onSent?.(data.length)
    }
  }
  await limit.during((signal) => frames.close({ signal }))
}

/** Tag and length of `BlockMessage.data`; the block follows as it is: encoding it as a whole would copy it four times. */
function dataField(length: number): Uint8Array {
  const field = new BinaryWriter()
  field.tag(BlockMessageSchema.field.data.number, WireType.LengthDelimited).uint32(length)
  return field.finish()
}

function parseCids(cids: readonly Uint8Array[]): CID[] {
  if (cids.length === 0 || cids.length > MAX_BATCH_BLOCKS)
    throw new TrustedPodsError('WIRE_MALFORMED', `${cids.length} CIDs asked for, wanted 1 to ${MAX_BATCH_BLOCKS}`)
  return cids.map((cid) => checkCid(CID.decode(cid)))
}

/** Pulls a whole tree from one peer. @throws as `fetchTreeFrom`. */
export async function fetchTree(connection: BlockConnection, options: FetchTreeOptions): Promise<{ bytes: number }> {
  return fetchTreeFrom([peerSource(connection)], options)
}
