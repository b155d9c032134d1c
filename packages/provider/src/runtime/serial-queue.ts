/** Work under one key, one after the other; work under different keys side by side. */
export class SerialQueue {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Runs once everything that was given before under this key has ended, however it ended. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    // How the earlier work ended is told to who gave it.
    const mine = (before ?? Promise.resolve()).then(work, work)
    this.#last.set(key, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key)
    }
  }
}
