/**
 * Bytes in, bytes out, in order. What waits is copied into one buffer: a view of each arrival would cost hundreds of bytes
 * for a single one, and would keep whatever memory it is a view of. Pure.
 */

/** Room of the first buffer; most frames fit. */
const FIRST_CAPACITY_BYTES = 1024

/** From here on a copy costs more than the rest of a buffer that is kept alive by a view. */
const LARGE_BYTES = 64 * 1024

const EMPTY = new Uint8Array()

export class ByteQueue {
  #buffer: Uint8Array = EMPTY
  #start = 0
  #end = 0

  get length(): number {
    return this.#end - this.#start
  }

  push(bytes: Uint8Array): void {
    if (this.#end + bytes.length > this.#buffer.length) this.#makeRoom(bytes.length)
    this.#buffer.set(bytes, this.#end)
    this.#end += bytes.length
  }

  /** The byte at `index`. @throws RangeError past the end. */
  at(index: number): number {
    const byte = index < this.length ? this.#buffer[this.#start + index] : undefined
    if (byte === undefined) throw new RangeError(`byte ${index} of ${this.length}`)
    return byte
  }

  /** Makes room for so many bytes in all at once: they are then copied once, not with each doubling of the buffer. */
  reserve(count: number): void {
    if (this.#start + count > this.#buffer.length) this.#moveTo(new Uint8Array(count))
  }

  /** Removes and returns the first `count` bytes. @throws RangeError when there are fewer. */
  take(count: number): Uint8Array {
    if (count > this.length) throw new RangeError(`${count} bytes of ${this.length}`)
    if (count >= LARGE_BYTES && 2 * count >= this.#buffer.length) return this.#handOver(count)
    const taken = this.#buffer.slice(this.#start, this.#start + count)
    this.#start += count
    if (this.length === 0) this.clear()
    return taken
  }

  clear(): void {
    this.#buffer = EMPTY
    this.#start = 0
    this.#end = 0
  }

  /** Moves what waits to the front of a buffer that is then at most half full: each byte is moved about once. */
  #makeRoom(count: number): void {
    const wanted = 2 * (this.length + count)
    this.#moveTo(wanted > this.#buffer.length ? new Uint8Array(Math.max(wanted, FIRST_CAPACITY_BYTES)) : this.#buffer)
  }

  #moveTo(buffer: Uint8Array): void {
    const waiting = this.#buffer.subarray(this.#start, this.#end)
    buffer.set(waiting)
    this.#buffer = buffer
    this.#start = 0
    this.#end = waiting.length
  }

  /** The buffer itself, most of which was asked for; what is left moves to another. */
  #handOver(count: number): Uint8Array {
    const taken = this.#buffer.subarray(this.#start, this.#start + count)
    this.#start += count
    const rest = this.#buffer.slice(this.#start, this.#end)
    this.#buffer = rest
    this.#start = 0
    this.#end = rest.length
    return taken
  }
}
