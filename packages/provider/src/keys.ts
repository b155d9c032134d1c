/** The provider's keys, made where it runs and kept in files of mode 0600: inside a TEE they never leave it. */
import { join } from 'node:path'
import type { PrivateKey } from '@libp2p/interface'
import { loadOrCreateIdentity } from '@trusted-pods/platform/identity.ts'
import { loadOrCreateSecret } from '@trusted-pods/platform/secret-file.ts'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import { generateHpkeKey, type HpkeKeyPair } from '@trusted-pods/protocol/wire/seal.ts'
import type { LocalAccount } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

export interface ProviderKeys {
  /** libp2p, Ed25519. */
  readonly identity: PrivateKey
  /** What manifests are sealed to. */
  readonly hpke: HpkeKeyPair
  /** What signs quotes and receipts. */
  readonly meter: LocalAccount
}

const X25519_BYTES = 32

export async function loadProviderKeys(stateDir: string): Promise<ProviderKeys> {
  const folder = join(stateDir, 'keys')
  const pair = await loadOrCreateSecret(join(folder, 'hpke.key'), async () => {
    const { privateKey, publicKey } = await generateHpkeKey()
    return Buffer.concat([privateKey, publicKey])
  })
  const meter = await loadOrCreateSecret(join(folder, 'meter.key'), () =>
    Buffer.from(generatePrivateKey().slice(2), 'hex'),
  )
  return {
    identity: await loadOrCreateIdentity(join(folder, 'identity.key')),
    hpke: { privateKey: pair.subarray(0, X25519_BYTES), publicKey: pair.subarray(X25519_BYTES) },
    meter: privateKeyToAccount(`0x${toHex(meter)}`),
  }
}
