/**
 * Takes from several sources whatever comes first. Not by Promise.race, whose every turn leaves a reaction on the promises that go on
 * waiting: a source with much to say would fill the memory while another is silent.
 */
export class FirstReady<T> {
  readonly #ready: Outcome<T>[] = []
  readonly #asked = new Set<Promise<void>>()
  #wake = Promise.withResolvers<void>()

  /** Its next item is wanted: one at a time of each source. */
  ask(source: AsyncGenerator<T>): void {
    const turn = source
      .next()
      .then(
        (result): Outcome<T> => ({ source, result }),
        (error: unknown): Outcome<T> => ({ source, error }),
      )
      .then((outcome) => {
        this.#asked.delete(turn)
        this.#ready.push(outcome)
        this.#wake.resolve()
      })
    this.#asked.add(turn)
  }

  /** The first that has come of what was asked for. @throws what a source threw. */
  async take(): Promise<{ source: AsyncGenerator<T>; result: IteratorResult<T> }> {
    for (;;) {
      const outcome = this.#ready.shift()
      if (outcome && 'error' in outcome) throw outcome.error
      if (outcome) return outcome
      await this.#wake.promise
      this.#wake = Promise.withResolvers()
    }
  }

  /** Once nothing that was asked for is under way any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#asked)
  }
}

type Outcome<T> = { source: AsyncGenerator<T> } & ({ result: IteratorResult<T> } | { error: unknown })
