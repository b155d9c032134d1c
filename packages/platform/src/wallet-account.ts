/** The account that pays or is paid, wherever its key is: never in an argument, a log or an error. Spec: spec/PAYMENT.md#accounts. */
import { resolve } from 'node:path'
import { type ExternalSigner, signerAt } from '@trusted-pods/protocol/chain/external-signer.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Address, type LocalAccount, toHex } from 'viem'
import { mnemonicToAccount, privateKeyToAccount } from 'viem/accounts'
import type { ConfigSection } from './config-section.ts'
import { openKeystore } from './keystore.ts'
import { loadSecret } from './secret-file.ts'
import { loadWalletKey, parseWalletKey } from './wallet-key.ts'

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

export type Environment = Readonly<Record<string, string | undefined>>

const KINDS = ['keyFile', 'keystore', 'mnemonicFile', 'keyEnv', 'signer'] as const
const DEFAULT_DERIVATION = "m/44'/60'/0'/0/0"
/** A keystore is below 1 KiB, words below 256 bytes. */
const MAX_BYTES = 64 * 1024

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

/** @throws TrustedPodsError CHANNEL_WALLET: the key is not there or cannot be opened; PLATFORM_STATE: others may read it. */
export async function loadWallet(source: WalletSource, env: Environment): Promise<LocalAccount | ExternalSigner> {
  switch (source.kind) {
    case 'keyFile':
      return loadWalletKey(source.path)
    case 'keystore':
      return fromKeystore(source, env)
    case 'mnemonic':
      return fromMnemonic(source)
    case 'env':
      return parseWalletKey(requireVariable(env, source.variable), `environment variable ${source.variable}`)
    case 'signer':
      return signerAt(source.url, source.address)
  }
}

/** The same, where signing of transactions themselves is needed. @throws TrustedPodsError PLATFORM_CONFIG for an external signer. */
export async function loadLocalWallet(source: WalletSource, env: Environment): Promise<LocalAccount> {
  const account = await loadWallet(source, env)
  if (!('sendTransaction' in account)) return account
  throw new TrustedPodsError(
    'PLATFORM_CONFIG',
    'wallet.signer cannot be used here: claims are sent without anybody there to agree; give a key file or a keystore',
  )
}

async function fromKeystore(
  { path, passwordFile, passwordEnv }: Extract<WalletSource, { kind: 'keystore' }>,
  env: Environment,
): Promise<LocalAccount> {
  const password =
    passwordFile === undefined
      ? requireVariable(env, passwordEnv ?? '')
      : (await readText(passwordFile)).replace(/\r?\n$/, '')
  const key = await openKeystore(await readText(path), password)
  return privateKeyToAccount(toHex(key))
}

async function fromMnemonic({ path, derivation }: Extract<WalletSource, { kind: 'mnemonic' }>): Promise<LocalAccount> {
  const words = (await readText(path)).trim().split(/\s+/).join(' ')
  try {
    return mnemonicToAccount(words, { path: derivation as `m/44'/60'/${string}` })
  } catch {
    // The library's message repeats the words.
    throw new TrustedPodsError(
      'CHANNEL_WALLET',
      `${path} holds no mnemonic of BIP-39: 12 to 24 words and their checksum are wanted`,
    )
  }
}

async function readText(path: string): Promise<string> {
  const bytes = await loadSecret(path)
  if (!bytes) throw new TrustedPodsError('CHANNEL_WALLET', `${path} does not exist`)
  if (bytes.length > MAX_BYTES)
    throw new TrustedPodsError('CHANNEL_WALLET', `${path} has ${bytes.length} bytes, at most ${MAX_BYTES} are read`)
  return new TextDecoder().decode(bytes)
}

function requireVariable(env: Environment, name: string): string {
  const value = env[name]
  if (value) return value
  throw new TrustedPodsError('CHANNEL_WALLET', `environment variable ${name} is not set`)
}
