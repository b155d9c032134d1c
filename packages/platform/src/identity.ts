/** The libp2p identity of this installation: an Ed25519 key in a file of mode 0600. */
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { loadOrCreateSecret } from './secret-file.ts'

export async function loadOrCreateIdentity(path: string): Promise<PrivateKey> {
  return privateKeyFromProtobuf(
    await loadOrCreateSecret(path, async () => privateKeyToProtobuf(await generateKeyPair('Ed25519'))),
  )
}
