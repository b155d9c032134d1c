/** The memory of blocks from the network, once they are stored. */
import { countChunk } from './free-chunks.ts'

/** A block of 1 MiB as it was read from the socket, and as it was decrypted; the store counts what it is in itself. */
const LEFT_BEHIND_BYTES = 2 * 1024 * 1024

/** Gives a block's memory back, all of the buffer that it lies in: left to the collector, those that outlive two short collections
 * are there until a full one. */
export function releaseBlock({ buffer }: Uint8Array): void {
  countChunk(LEFT_BEHIND_BYTES)
  if (buffer instanceof ArrayBuffer) buffer.transfer(0)
}
