/** Whether bytes come from a source of blocks: aborts when none do for a while, or too few for a longer while. Spec: spec/IMAGES.md#transfer. */
import { TrustedPodsError } from '../errors.ts'
import { Deadline } from '../wire/deadline.ts'

/** Longest time without a byte; a transfer that moves has no deadline. */
const SILENCE_MS = 30_000
/** Who sends a little now and then would hold a provider's capacity for ever: 16 KiB/s is below any link that can carry an image. */
const MIN_BYTES_PER_SECOND = 16 * 1024
/** The least is wanted of each such time, so that a fast start earns no slow end. */
const PACE_MS = 60_000

export interface PaceOptions {
  /** Longest time without a byte; default 30 s. */
  readonly silenceMs?: number
  /** Least bytes per second, averaged over each `paceMs`, blocks already held included; default 16 KiB. */
  readonly minBytesPerSecond?: number
  /** Default 60 s. */
  readonly paceMs?: number
}

export class Arrivals implements Disposable {
  readonly signal: AbortSignal
  readonly #slow = new AbortController()
  readonly #silence: Deadline
  readonly #pace: ReturnType<typeof setInterval>
  #bytes = 0

  /** @param source its name, for messages. */
  constructor(
    source: string,
    { silenceMs = SILENCE_MS, minBytesPerSecond = MIN_BYTES_PER_SECOND, paceMs = PACE_MS }: PaceOptions,
  ) {
    const reason = () => tooSlow(`no byte from ${source} for ${silenceMs} ms`)
    this.#silence = new Deadline(silenceMs, { signals: [this.#slow.signal], reason })
    this.#silence.restart()
    this.signal = this.#silence.signal
    const wanted = Math.ceil((minBytesPerSecond * paceMs) / 1000)
    this.#pace = setInterval(() => {
      if (this.#bytes < wanted)
        this.#slow.abort(tooSlow(`${this.#bytes} bytes from ${source} in ${paceMs} ms, at least ${wanted} are wanted`))
      this.#bytes = 0
    }, paceMs)
  }

  add(bytes: number): void {
    this.#bytes += bytes
    this.#silence.restart()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#pace)
    this.#silence[Symbol.dispose]()
  }
}

function tooSlow(message: string): TrustedPodsError {
  return new TrustedPodsError('PROVISION_IMAGE_FETCH', message)
}
