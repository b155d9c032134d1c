/** The account that pays or is paid, wherever its key is: never in an argument, a log or an error. Spec: spec/PAYMENT.md#accounts. */
import { type ExternalSigner, signerAt } from '@trusted-pods/protocol/chain/external-signer.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type LocalAccount, toHex } from 'viem'
import { mnemonicToAccount, privateKeyToAccount } from 'viem/accounts'
import { openKeystore } from './keystore.ts'
import { loadSecret } from './secret-file.ts'
import { loadWalletKey, parseWalletKey } from './wallet-key.ts'
import type { WalletSource } from './wallet-source.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** A keystore is below 1 KiB, words below 256 bytes. */
const MAX_BYTES = 64 * 1024

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
