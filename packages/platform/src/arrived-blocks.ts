/** What a block from the network leaves behind besides itself. */
import { countChunk } from './free-chunks.ts'

/** A block of 1 MiB as it was read from the socket, and as it was decrypted: the store counts what it is in itself. */
const LEFT_BEHIND_BYTES = 2 * 1024 * 1024

/** To be told of each block that was fetched, so that what it came in is collected before too much of it lives long. */
export function countArrived(): void {
  countChunk(LEFT_BEHIND_BYTES)
}
