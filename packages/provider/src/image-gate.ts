/**
 * Images come in and go out through here: none is pruned between its import and the moment when the journal names it.
 */
import type { ImageRef, PodRuntime } from './runtime/pod-runtime.ts'

export class ImageGate {
  #opening = 0
  #pruning: Promise<void> = Promise.resolve()

  /** Imports and the journal entry that names them, as one. */
  async whileOpening<T>(open: () => Promise<T>): Promise<T> {
    await this.#pruning
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
    const pruning = runtime.pruneImages(inUse())
    this.#pruning = pruning.catch(() => {
      // The caller is told; whoever opens an image only waits for the end.
    })
    await pruning
  }
}
