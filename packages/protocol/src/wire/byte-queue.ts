/** Bytes in, bytes out, in order, without copying what waits. Pure. */

export class ByteQueue {
  #chunks: Uint8Array[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#chunks.push(bytes)
    this.#length += bytes.length
  }

  /** The byte at `index`. @throws RangeError past the end. */
  at(index: number): number {
    let rest = index
    for (const chunk of this.#chunks) {
      const byte = chunk[rest]
      if (byte !== undefined) return byte
      rest -= chunk.length
    }
    throw new RangeError(`byte ${index} of ${this.#length}`)
  }

  /** Removes and returns the first `count` bytes. @throws RangeError when there are fewer. */
  take(count: number): Uint8Array {
    if (count > this.#length) throw new RangeError(`${count} bytes of ${this.#length}`)
    const taken = new Uint8Array(count)
    let filled = 0
    let used = 0
    while (filled < count) {
      const chunk = this.#chunks[used] as Uint8Array
      const part = chunk.subarray(0, count - filled)
      taken.set(part, filled)
      filled += part.length
      if (part.length < chunk.length) this.#chunks[used] = chunk.subarray(part.length)
      else used++
    }
    this.#chunks.splice(0, used)
    this.#length -= count
    return taken
  }
}
