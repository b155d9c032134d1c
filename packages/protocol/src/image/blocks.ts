/** Transfer of image blocks by CID: the publisher serves, the provider pulls. Spec: spec/IMAGES.md#transfer. */
import { create, toBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { Connection, PeerId, Stream } from '@libp2p/interface'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'
import { equalBytes } from '../bytes.ts'
import { TrustedPodsError } from '../errors.ts'
import { BlockMessageSchema, BlocksRequestSchema } from '../gen/trustedpods/v0/blocks_pb.ts'
import { Deadline } from '../wire/deadline.ts'
import { type Framed, framed } from '../wire/framing.ts'
import { BLOCKS, EXCHANGES_PER_PROTOCOL } from '../wire/protocols.ts'
import type { Host } from '../wire/serve.ts'
import { checkCid, findBlock, isBlockOf, parseTreeCid } from './block.ts'
import { MAX_BATCH_BLOCKS, TreeWalk } from './tree-walk.ts'

/** Largest block that is sent: the chunk size of the tree. */
const MAX_SENT_BYTES = 1024 * 1024
/** Streams that pull at once: hides the round trip without crowding a thin link. */
const STREAMS = 4
/** Longest time without a byte; a transfer that moves has no deadline. */
const SILENCE_MS = 30_000
/** Who sends a little now and then would hold a provider's capacity for ever: 16 KiB/s is below any link that can carry an image. */
const MIN_BYTES_PER_SECOND = 16 * 1024
/** The least is wanted of each such time, so that a fast start earns no slow end. */
const PACE_MS = 60_000

export interface ServeBlocksOptions {
  readonly blockstore: Blockstore
  /** Who may pull; absent: anybody who knows a CID. What is served is ciphertext. */
  readonly allow?: (peer: PeerId) => boolean
}

export interface FetchTreeOptions {
  /** Binary CIDv1 of the tree. */
  readonly cid: Uint8Array
  readonly blockstore: Blockstore
  /** Cap on all blocks of the tree together, those already held included. */
  readonly maxBytes: number
  readonly signal?: AbortSignal
  /** Called with the bytes received so far in this call. */
  readonly onProgress?: (fetchedBytes: number) => void
  /** Longest time without a byte; default 30 s. */
  readonly silenceMs?: number
  /** Least bytes per second, averaged over each `paceMs`, blocks already held included; default 16 KiB. */
  readonly minBytesPerSecond?: number
  /** Default 60 s. */
  readonly paceMs?: number
}

/** Serves blocks until `host.unhandle(BLOCKS.id)`. A peer that is not allowed, or asks for what is not legal, is reset. */
export async function serveBlocks(host: Host, { blockstore, allow }: ServeBlocksOptions): Promise<void> {
  let running = 0
  await host.handle(
    BLOCKS.id,
    async (stream, connection) => {
      running++
      try {
        if (allow && !allow(connection.remotePeer)) throw new Error('this peer may not pull')
        if (running > EXCHANGES_PER_PROTOCOL) throw new Error('too many peers pull')
        await answerAll(stream, blockstore)
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

async function answerAll(stream: Stream, blockstore: Blockstore): Promise<void> {
  const frames = framed(stream, { readBytes: BLOCKS.requestBytes, writeBytes: BLOCKS.responseBytes })
  using limit = new Deadline(BLOCKS.timeoutMs, { signals: [frames.closed] })
  for (;;) {
    const request = await limit.during((signal) => frames.readOrEnd(BlocksRequestSchema, { signal }))
    if (!request) break
    for (const cid of parseCids(request.cids)) {
      const data = await findBlock(blockstore, cid)
      const found = data !== undefined && data.length <= MAX_SENT_BYTES
      const head = toBinary(BlockMessageSchema, create(BlockMessageSchema, { cid: cid.bytes, found }))
      const body = found ? [head, dataField(data.length), data] : [head]
      await limit.during((signal) => frames.writeBody(body, { signal }))
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

/**
 * Pulls a whole tree into the store, each block hashed before it is put; what is held already is not asked for.
 * @throws TrustedPodsError PROVISION_IMAGE_FETCH when the peer lacks or falsifies a block, falls silent or is too slow, or the tree
 * is over the cap; PROVISION_IMAGE_REFUSED for blocks of another codec or hash.
 */
export async function fetchTree(
  connection: Pick<Connection, 'newStream'>,
  options: FetchTreeOptions,
): Promise<{ bytes: number }> {
  using arrivals = new Arrivals(options)
  const stopped = new AbortController()
  const signal = AbortSignal.any([arrivals.signal, stopped.signal, ...(options.signal ? [options.signal] : [])])
  try {
    const walk = new TreeWalk(parseTreeCid(options.cid), { ...options, signal, onHeld: (bytes) => arrivals.add(bytes) })
    const intake = new Intake(walk, options)
    const pulls = Array.from({ length: STREAMS }, () => pull(connection, { walk, intake, arrivals, signal }))
    for (const each of pulls) each.catch((error) => stopped.abort(error))
    // All of them, so that nothing is stored after a failure was told.
    await Promise.allSettled(pulls)
    stopped.signal.throwIfAborted()
    return { bytes: walk.bytes }
  } catch (error) {
    options.signal?.throwIfAborted()
    throw toFetchError(arrivals.signal.aborted ? arrivals.signal.reason : error)
  }
}

interface Pull {
  readonly walk: TreeWalk
  readonly intake: Intake
  readonly arrivals: Arrivals
  readonly signal: AbortSignal
}

/** One stream's share: asks, waits for all of the answer, asks again. */
async function pull(
  connection: Pick<Connection, 'newStream'>,
  { walk, intake, arrivals, signal }: Pull,
): Promise<void> {
  let frames: Framed | undefined
  try {
    for (let batch = await walk.next(); batch; batch = await walk.next()) {
      // The peer ends a stream that idles while the others pull.
      if (!frames || frames.closed.aborted) frames = await openStream(connection, arrivals, signal)
      await frames.write(BlocksRequestSchema, { cids: batch.map((cid) => cid.bytes) }, { signal })
      for (const cid of batch) await intake.take(cid, await frames.read(BlockMessageSchema, { signal }))
    }
    await frames?.close({ signal })
  } finally {
    frames?.abort(new Error('the transfer is over'))
  }
}

async function openStream(
  connection: Pick<Connection, 'newStream'>,
  arrivals: Arrivals,
  signal: AbortSignal,
): Promise<Framed> {
  const stream = await connection.newStream(BLOCKS.id, { signal, maxOutboundStreams: BLOCKS.streamsPerConnection })
  const frames = framed(stream, { readBytes: BLOCKS.responseBytes, writeBytes: BLOCKS.requestBytes })
  stream.addEventListener('message', ({ data }) => arrivals.add(data.byteLength))
  return frames
}

interface BlockAnswer {
  readonly cid: Uint8Array
  readonly found: boolean
  readonly data: Uint8Array
}

/** Checks and stores what arrives. */
class Intake {
  readonly #walk: TreeWalk
  readonly #options: FetchTreeOptions
  #fetchedBytes = 0

  constructor(walk: TreeWalk, options: FetchTreeOptions) {
    this.#walk = walk
    this.#options = options
  }

  async take(cid: CID, answer: BlockAnswer): Promise<void> {
    if (!equalBytes(answer.cid, cid.bytes)) throw fetchFailed(`the publisher answered for another block than ${cid}`)
    if (!answer.found) throw fetchFailed(`the publisher does not have block ${cid}`)
    if (!(await isBlockOf(cid, answer.data)))
      throw fetchFailed(`what the publisher sent as block ${cid} has another hash`)
    await this.#options.blockstore.put(cid, answer.data)
    this.#walk.accept(cid, answer.data)
    this.#fetchedBytes += answer.data.length
    this.#options.onProgress?.(this.#fetchedBytes)
  }
}

/** What has arrived; aborts when it is nothing for a while, or too little for a longer while. */
class Arrivals implements Disposable {
  readonly signal: AbortSignal
  readonly #slow = new AbortController()
  readonly #silence: Deadline
  readonly #pace: ReturnType<typeof setInterval>
  #bytes = 0

  constructor({
    silenceMs = SILENCE_MS,
    minBytesPerSecond = MIN_BYTES_PER_SECOND,
    paceMs = PACE_MS,
  }: FetchTreeOptions) {
    const reason = () => fetchFailed(`no byte from the publisher for ${silenceMs} ms`)
    this.#silence = new Deadline(silenceMs, { signals: [this.#slow.signal], reason })
    this.#silence.restart()
    this.signal = this.#silence.signal
    const wanted = Math.ceil((minBytesPerSecond * paceMs) / 1000)
    this.#pace = setInterval(() => this.#demand(wanted, paceMs), paceMs)
  }

  add(bytes: number): void {
    this.#bytes += bytes
    this.#silence.restart()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#pace)
    this.#silence[Symbol.dispose]()
  }

  #demand(wanted: number, paceMs: number): void {
    if (this.#bytes < wanted)
      this.#slow.abort(
        fetchFailed(`${this.#bytes} bytes from the publisher in ${paceMs} ms, at least ${wanted} are wanted`),
      )
    this.#bytes = 0
  }
}

function toFetchError(error: unknown): TrustedPodsError {
  if (error instanceof TrustedPodsError && error.code.startsWith('PROVISION_')) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new TrustedPodsError('PROVISION_IMAGE_FETCH', `pulling the image failed: ${reason}`, { cause: error })
}

function fetchFailed(message: string): TrustedPodsError {
  return new TrustedPodsError('PROVISION_IMAGE_FETCH', message)
}
