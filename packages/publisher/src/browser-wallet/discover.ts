/** The wallets of a browser, as they announce themselves to the page (EIP-6963): before it asks, and after. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import { type BrowserWallet, toBrowserWallet } from './announcement.ts'

export interface DiscoverOptions {
  /** Ends it; wallets announce themselves for as long as the page lives. */
  readonly signal: AbortSignal
  /** The page's window unless given. */
  readonly target?: EventTarget
}

const ANNOUNCE = 'eip6963:announceProvider'
const REQUEST = 'eip6963:requestProvider'
/** More than anybody has; a script that announces without end is heard no further. */
const MAX_WALLETS = 32

/** Each wallet once, by its uuid: the first that announces one keeps it. Ends when the signal aborts. */
export async function* discoverWallets({
  signal,
  target = pageWindow(),
}: DiscoverOptions): AsyncGenerator<BrowserWallet> {
  const seen = new Map<string, BrowserWallet>()
  const fresh: BrowserWallet[] = []
  let wake = Promise.withResolvers<void>()
  const onAnnounce = (event: Event) => {
    const wallet = toBrowserWallet(event)
    if (wallet === undefined || seen.has(wallet.uuid) || seen.size >= MAX_WALLETS) return
    seen.set(wallet.uuid, wallet)
    fresh.push(wallet)
    wake.resolve()
  }
  const onAbort = () => wake.resolve()
  target.addEventListener(ANNOUNCE, onAnnounce)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    // Wallets that announced themselves before somebody listened do it again.
    target.dispatchEvent(new Event(REQUEST))
    for (;;) {
      yield* fresh.splice(0)
      if (signal.aborted) return
      if (fresh.length > 0) continue
      await wake.promise
      wake = Promise.withResolvers()
    }
  } finally {
    target.removeEventListener(ANNOUNCE, onAnnounce)
    signal.removeEventListener('abort', onAbort)
  }
}

/**
 * The wallet of this reverse domain name, among all that announce themselves until the signal aborts: two that claim one name are
 * not chosen between.
 * @throws TrustedPodsError CHANNEL_WALLET when there is none, or more than one.
 */
export async function findWallet(rdns: string, options: DiscoverOptions): Promise<BrowserWallet> {
  const found: BrowserWallet[] = []
  for await (const wallet of discoverWallets(options)) if (wallet.rdns === rdns.toLowerCase()) found.push(wallet)
  const [wallet, ...others] = found
  if (wallet !== undefined && others.length === 0) return wallet
  const seen = wallet === undefined ? 'no wallet' : `${found.length} wallets`
  throw new TrustedPodsError('CHANNEL_WALLET', `${seen} of this page called ${boundText(rdns)}, wanted one`)
}

function pageWindow(): EventTarget {
  if (globalThis instanceof EventTarget) return globalThis
  throw new TrustedPodsError('CHANNEL_WALLET', 'there is no window here: browser wallets live in web pages')
}
