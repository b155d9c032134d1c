/** Blocks of a peer that serves `/trusted-pods/blocks/0.0.1`, over a connection that is there. Spec: spec/IMAGES.md#transfer. */
import type { Connection } from '@libp2p/interface'
import type { CID } from 'multiformats/cid'
import { equalBytes } from '../bytes.ts'
import { TrustedPodsError } from '../errors.ts'
import { BlockMessageSchema, BlocksRequestSchema } from '../gen/trustedpods/v0/blocks_pb.ts'
import { type Framed, framed } from '../wire/framing.ts'
import { BLOCKS } from '../wire/protocols.ts'
import type { BlockChannel, BlockSource, ChannelOptions } from './block-source.ts'

/** Streams that pull at once: hides the round trip without crowding a thin link. */
const STREAMS = 4

export type BlockConnection = Pick<Connection, 'newStream'>

/** The connection stays open when the source is closed. */
export function peerSource(connection: BlockConnection, name = 'the publisher'): BlockSource {
  return dialledSource(name, async () => ({ newStream: connection.newStream.bind(connection), close: async () => {} }))
}

/** The same over a connection that is made when the first block is asked for, and closed with the source. */
export function dialledSource(
  name: string,
  connect: (signal: AbortSignal) => Promise<BlockConnection & Pick<Connection, 'close'>>,
): BlockSource {
  let connecting: ReturnType<typeof connect> | undefined
  return {
    name,
    channels: STREAMS,
    open(options) {
      const connected = () => {
        connecting ??= connect(options.signal)
        return connecting
      }
      return new PeerChannel(name, connected, options)
    },
    async close() {
      // Whoever asked for a block was told that there is no connection; that it does not close cleanly concerns nobody.
      const connection = await connecting?.catch(() => undefined)
      await connection?.close().catch(() => {})
    },
  }
}

class PeerChannel implements BlockChannel {
  readonly #name: string
  readonly #connected: () => Promise<BlockConnection>
  readonly #options: ChannelOptions
  #frames: Framed | undefined

  constructor(name: string, connected: () => Promise<BlockConnection>, options: ChannelOptions) {
    this.#name = name
    this.#connected = connected
    this.#options = options
  }

  async *fetch(cids: readonly CID[]): AsyncGenerator<Uint8Array | undefined> {
    const { signal } = this.#options
    const frames = await this.#stream()
    await frames.write(BlocksRequestSchema, { cids: cids.map((cid) => cid.bytes) }, { signal })
    for (const cid of cids) {
      const answer = await frames.read(BlockMessageSchema, { signal })
      if (!equalBytes(answer.cid, cid.bytes))
        throw new TrustedPodsError('PROVISION_IMAGE_FETCH', `${this.#name} answered for another block than ${cid}`)
      yield answer.found ? answer.data : undefined
    }
  }

  async end(): Promise<void> {
    await this.#frames?.close({ signal: this.#options.signal })
  }

  abort(): void {
    this.#frames?.abort(new Error('the transfer is over'))
  }

  /** The peer ends a stream that idles while the others pull. */
  async #stream(): Promise<Framed> {
    if (this.#frames && !this.#frames.closed.aborted) return this.#frames
    const { signal, onBytes } = this.#options
    const connection = await this.#connected()
    const stream = await connection.newStream(BLOCKS.id, { signal, maxOutboundStreams: BLOCKS.streamsPerConnection })
    this.#frames = framed(stream, { readBytes: BLOCKS.responseBytes, writeBytes: BLOCKS.requestBytes })
    stream.addEventListener('message', ({ data }) => onBytes(data.byteLength))
    return this.#frames
  }
}
