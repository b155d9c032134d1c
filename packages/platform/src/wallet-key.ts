/** The key that pays, from a file that only its owner can read; never from an argument. */

import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { loadSecret } from './secret-file.ts'

const FORM = '64 hex digits with or without 0x'

/** @throws TrustedPodsError CHANNEL_WALLET: no such file or no key in it; PLATFORM_STATE: others may read it. */
export async function loadWalletKey(path: string): Promise<PrivateKeyAccount> {
  const bytes = await loadSecret(path)
  if (!bytes)
    throw new TrustedPodsError(
      'CHANNEL_WALLET',
      `${path} does not exist; a file with a private key (${FORM}) is wanted`,
    )
  return parseWalletKey(new TextDecoder().decode(bytes), path)
}

/** @param where what to name in an error: never the text itself. @throws TrustedPodsError CHANNEL_WALLET. */
export function parseWalletKey(text: string, where: string): PrivateKeyAccount {
  const digits = /^(?:0x)?([0-9a-fA-F]{64})$/.exec(text.trim())?.[1]
  if (digits === undefined)
    throw new TrustedPodsError('CHANNEL_WALLET', `${where} holds no private key: ${FORM} are wanted`)
  try {
    return privateKeyToAccount(`0x${digits}`)
  } catch {
    // The library's message repeats the key.
    throw new TrustedPodsError('CHANNEL_WALLET', `${where} holds no valid secp256k1 key`)
  }
}
