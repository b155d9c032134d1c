/** Who is served by one protocol at once, and who may keep it waiting for a request. Spec: spec/PROTOCOL.md#limits. Pure. */
import { TrustedPodsError } from '../errors.ts'
import { EXCHANGES, type ProtocolLimits, UNREAD_BYTES, UNREAD_STREAMS } from './protocols.ts'

/** One stream's place, from its opening until it is disposed. */
export interface ExchangeSlot extends Disposable {
  /** Aborts with WIRE_BUSY when the stream has to make way before its request was read. */
  readonly signal: AbortSignal
  /** The request was read: counts as an exchange from now on. @throws TrustedPodsError WIRE_BUSY when there are too many. */
  begin(): void
}

interface Unread {
  readonly peer: string
  readonly controller: AbortController
}

export class ExchangeSlots {
  readonly #limits: Pick<ProtocolLimits, 'id' | 'requestBytes' | 'concurrent'>
  /** Oldest first. */
  readonly #unread = new Set<Unread>()
  /** Exchanges under way by peer; no peer with none. */
  readonly #running = new Map<string, number>()
  #total = 0

  constructor(limits: Pick<ProtocolLimits, 'id' | 'requestBytes' | 'concurrent'>) {
    this.#limits = limits
  }

  /** Past the bound on unread streams, the oldest one of the peer that has the most makes way: whoever asks at once is not hit. */
  open(peer: string): ExchangeSlot {
    const unread: Unread = { peer, controller: new AbortController() }
    this.#unread.add(unread)
    if (this.#unread.size > this.#maxUnread()) this.#evict()
    let began = false
    return {
      signal: unread.controller.signal,
      begin: () => {
        this.#unread.delete(unread)
        this.#begin(peer)
        began = true
      },
      [Symbol.dispose]: () => {
        this.#unread.delete(unread)
        if (began) this.#end(peer)
        began = false
      },
    }
  }

  #maxUnread(): number {
    return Math.min(UNREAD_STREAMS, Math.floor(UNREAD_BYTES / this.#limits.requestBytes))
  }

  #evict(): void {
    const byPeer = Map.groupBy(this.#unread, ({ peer }) => peer)
    const most = [...byPeer.values()].reduce((a, b) => (b.length > a.length ? b : a))
    const [oldest] = most
    if (!oldest) return
    this.#unread.delete(oldest)
    oldest.controller.abort(
      new TrustedPodsError('WIRE_BUSY', `over ${this.#maxUnread()} streams of ${this.#limits.id} have sent no request`),
    )
  }

  #begin(peer: string): void {
    const { id, concurrent = EXCHANGES } = this.#limits
    const ofPeer = this.#running.get(peer) ?? 0
    if (ofPeer >= concurrent.perPeer)
      throw new TrustedPodsError('WIRE_BUSY', `${ofPeer} exchanges of ${id} are under way with this peer`)
    if (this.#total >= concurrent.total)
      throw new TrustedPodsError('WIRE_BUSY', `${this.#total} exchanges of ${id} are under way`)
    this.#running.set(peer, ofPeer + 1)
    this.#total++
  }

  #end(peer: string): void {
    const ofPeer = (this.#running.get(peer) ?? 0) - 1
    if (ofPeer > 0) this.#running.set(peer, ofPeer)
    else this.#running.delete(peer)
    this.#total--
  }
}
