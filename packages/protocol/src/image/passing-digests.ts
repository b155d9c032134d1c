/** Digests of bytes that go on elsewhere: they are copied into blocks whose memory goes round. */
import type { CiphertextDigests, CiphertextTotals, DigestedBlock } from './stream-crypto.ts'

/** Copies that may be under way. */
const COPIES = 4

export class PassingDigests implements Disposable {
  readonly #digests: CiphertextDigests
  readonly #underWay: Promise<DigestedBlock>[] = []
  #made = 0

  constructor(digests: CiphertextDigests) {
    this.#digests = digests
  }

  /** Waits while the digests lag behind. */
  async update(bytes: Uint8Array): Promise<void> {
    const memory = await this.#memory(bytes.length)
    memory.set(bytes)
    this.#underWay.push(this.#digests.add(memory))
  }

  async finish(): Promise<CiphertextTotals> {
    return this.#digests.finish()
  }

  [Symbol.dispose](): void {
    this.#digests[Symbol.dispose]()
  }

  async #memory(length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#made < COPIES) {
      this.#made++
      return new Uint8Array(length)
    }
    const buffer = (await this.#underWay.shift())?.bytes.buffer
    return buffer && buffer.byteLength >= length ? new Uint8Array(buffer, 0, length) : new Uint8Array(length)
  }
}
