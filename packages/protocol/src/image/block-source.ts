/** Where blocks are pulled from: the publisher, another peer, a gateway. What it gives is checked by whoever asked. Pure types. */
import type { CID } from 'multiformats/cid'

export interface BlockSource {
  /** For messages. */
  readonly name: string
  /** How many channels pull at once. */
  readonly channels: number
  /** Connects when it is first asked; each failure is an error of its own, told when a block is asked for. */
  open(options: ChannelOptions): BlockChannel
  /** Ends what was opened; nothing is pulled any more. */
  close(): Promise<void>
}

export interface ChannelOptions {
  readonly signal: AbortSignal
  /** Told of bytes as they come, long before a block is whole. */
  readonly onBytes: (count: number) => void
}

export interface BlockChannel {
  /** The blocks in the order asked for, each as it came, in memory of its own; undefined: the source does not have it. */
  fetch(cids: readonly CID[]): AsyncIterable<Uint8Array | undefined>
  /** All that was wanted was given. */
  end(): Promise<void>
  /** Nothing more is wanted. Of no effect after `end`. */
  abort(): void
}
