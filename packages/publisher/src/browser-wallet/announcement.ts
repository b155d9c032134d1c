/**
 * What a browser wallet says of itself by EIP-6963: data that any script of the page can make up. Copied once, bounded, never markup.
 * Pure.
 */
import type { RequestProvider } from '@trusted-pods/protocol/chain/external-signer.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'

/** An EIP-1193 provider with its events. */
export interface WalletProvider extends RequestProvider {
  on?(event: string, listener: (value: unknown) => void): unknown
  removeListener?(event: string, listener: (value: unknown) => void): unknown
}

export interface BrowserWallet {
  /** Its own for this page; another one after each load. */
  readonly uuid: string
  /** For people: text of one line. Any wallet can take any name. */
  readonly name: string
  /** Reverse domain name, as "io.metamask": what a choice is remembered by. Nobody has checked it. */
  readonly rdns: string
  /** A data URI for the `src` of an image; absent where it brought none that is small and an image. */
  readonly icon?: string
  readonly provider: WalletProvider
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i
const RDNS = /^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,7}$/i
const ICON = /^data:image\/(png|jpeg|webp|gif|svg\+xml)[;,]/
/** 64 KiB: an icon is 96 by 96 pixels. */
const MAX_ICON = 64 * 1024
const MAX_NAME = 64

/** The wallet that an event announces; undefined: it is no announcement as EIP-6963 wants it. */
export function toBrowserWallet(event: Event): BrowserWallet | undefined {
  try {
    const { info, provider } = (event as Event & { detail: { info: Record<string, unknown>; provider: unknown } })
      .detail
    const { uuid, name, icon, rdns } = info
    if (!isText(uuid, UUID) || !isText(rdns, RDNS) || typeof name !== 'string' || !isProvider(provider))
      return undefined
    const shown = boundText(name.slice(0, MAX_NAME)).trim()
    const image = typeof icon === 'string' && icon.length <= MAX_ICON && ICON.test(icon) ? icon : undefined
    return {
      uuid: uuid.toLowerCase(),
      name: shown === '' ? rdns : shown,
      rdns: rdns.toLowerCase(),
      ...(image && { icon: image }),
      provider,
    }
  } catch {
    // Getters of the page's own making may throw: that wallet does not exist for us.
    return undefined
  }
}

function isText(value: unknown, form: RegExp): value is string {
  return typeof value === 'string' && value.length <= 512 && form.test(value)
}

function isProvider(value: unknown): value is WalletProvider {
  return typeof value === 'object' && value !== null && typeof (value as WalletProvider).request === 'function'
}
