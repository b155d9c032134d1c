/** Where a configuration says that the wallet's key is; nothing is opened here. Spec: spec/PAYMENT.md#accounts. Pure. */
import { resolve } from 'node:path'
import type { Address } from 'viem'
import type { ConfigSection } from './config-section.ts'

export type WalletSource =
  /** A private key in hex. */
  | { readonly kind: 'keyFile'; readonly path: string }
  /** A Web3 Secret Storage file, and the password in a file or an environment variable. */
  | { readonly kind: 'keystore'; readonly path: string; readonly passwordFile?: string; readonly passwordEnv?: string }
  /** Words of BIP-39 in a file, and the path of the account. */
  | { readonly kind: 'mnemonic'; readonly path: string; readonly derivation: string }
  /** A private key in hex in an environment variable: for continuous integration. */
  | { readonly kind: 'env'; readonly variable: string }
  /** Another program that has the key and answers JSON-RPC. */
  | { readonly kind: 'signer'; readonly url: string; readonly address: Address }

const KINDS = ['keyFile', 'keystore', 'mnemonicFile', 'keyEnv', 'signer'] as const
const DEFAULT_DERIVATION = "m/44'/60'/0'/0/0"

/** The wallet section of a configuration file. @throws TrustedPodsError PLATFORM_CONFIG unless exactly one source is named. */
export function readWalletSource(section: ConfigSection, folder: string): WalletSource {
  section.only(...KINDS, 'passwordFile', 'passwordEnv', 'derivation', 'address')
  const named = KINDS.filter((key) => section.value(key) !== undefined)
  const [kind] = named
  if (kind === undefined)
    return section.fail('keyFile', `is missing, and so are ${KINDS.slice(1).join(', ')}: one is wanted`)
  if (named.length > 1) return section.fail(kind, `stands beside ${named[1]}: one of them is wanted`)
  const text = section.text(kind)
  switch (kind) {
    case 'keyFile':
      return { kind, path: resolve(folder, text) }
    case 'keystore':
      return { kind, path: resolve(folder, text), ...readPassword(section, folder) }
    case 'mnemonicFile':
      return { kind: 'mnemonic', path: resolve(folder, text), derivation: readDerivation(section) }
    case 'keyEnv':
      return { kind: 'env', variable: text }
    case 'signer':
      if (!/^https?:/.test(text) || !URL.canParse(text)) section.fail(kind, 'must be an http or https URL')
      return { kind, url: text, address: section.address('address') }
  }
}

/** Its form is checked here: the library's own message would repeat what stands there. */
function readDerivation(section: ConfigSection): string {
  const derivation = section.optionalText('derivation') ?? DEFAULT_DERIVATION
  return /^m(\/[0-9]{1,10}'?){1,10}$/.test(derivation)
    ? derivation
    : section.fail('derivation', "must be a path such as m/44'/60'/0'/0/0")
}

function readPassword(section: ConfigSection, folder: string): { passwordFile?: string; passwordEnv?: string } {
  const [file, variable] = [section.optionalText('passwordFile'), section.optionalText('passwordEnv')]
  if ((file === undefined) === (variable === undefined))
    section.fail('keystore', 'needs passwordFile or passwordEnv, one of them')
  return {
    ...(file !== undefined && { passwordFile: resolve(folder, file) }),
    ...(variable !== undefined && { passwordEnv: variable }),
  }
}
