/**
 * Images come in and go out through here: none is pruned between its import and the moment when the journal names it.
 */
import type { ImageRef, PodRuntime } from './runtime/pod-runtime.ts'

export class ImageGate {
  #opening = 0
  /** Prunes that run or wait, one after the other. */
  #prunes = 0
  #lastPrune: Promise<void> = Promise.resolve()

  /** Imports and the journal entry that names them, as one. */
  async whileOpening<T>(open: () => Promise<T>): Promise<T> {
    while (this.#prunes > 0) await this.#lastPrune
    this.#opening++
    try {
      return await open()
    } finally {
      this.#opening--
    }
  }

  /** Removes images that no pod uses; not now when any is being opened: a later call does it. */
  async prune(runtime: PodRuntime, inUse: () => ReadonlySet<ImageRef>): Promise<void> {
    if (this.#opening > 0) return
    this.#prunes++
    const pruning = this.#lastPrune.then(() => runtime.pruneImages(inUse())).finally(() => this.#prunes--)
    this.#lastPrune = pruning.then(
      () => {},
      // The caller is told; whoever opens an image only waits for the end.
      () => {},
    )
    await pruning
  }
}
