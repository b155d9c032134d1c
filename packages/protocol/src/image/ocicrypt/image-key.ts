/** Key pairs that open images: EC P-256 when we make them; RSA too when others did. Spec: spec/IMAGES.md#keys. */
import { toBufferSource } from '../../bytes.ts'
import { refused } from '../refused.ts'

/** For whom a layer's options are wrapped. */
export interface ImageKeyPair {
  readonly publicKey: CryptoKey
  /** PKCS#8 DER. Secret. */
  readonly privateKey: Uint8Array
}

/** What unwraps: the key imported anew for each algorithm, since WebCrypto ties a key to one. */
export interface ImageKey {
  /** @throws TrustedPodsError PROVISION_IMAGE_REFUSED where the key is not for that JWE algorithm. */
  for(algorithm: KeyAlgorithm): Promise<CryptoKey>
}

/** JWE algorithms that we unwrap; the first is the one that we write. RSA-OAEP is with SHA-1, as ocicrypt writes it. */
export const KEY_ALGORITHMS = [
  'ECDH-ES+A256KW',
  'ECDH-ES+A192KW',
  'ECDH-ES+A128KW',
  'RSA-OAEP',
  'RSA-OAEP-256',
] as const
export type KeyAlgorithm = (typeof KEY_ALGORITHMS)[number]

const P256 = { name: 'ECDH', namedCurve: 'P-256' } as const

export async function generateImageKey(): Promise<ImageKeyPair> {
  const pair = await crypto.subtle.generateKey(P256, true, ['deriveBits'])
  return {
    publicKey: pair.publicKey,
    privateKey: new Uint8Array(await crypto.subtle.exportKey('pkcs8', pair.privateKey)),
  }
}

/** For whom the holder of this EC P-256 private key can be written to. @throws where it is none. */
export async function publicKeyOf(pkcs8: Uint8Array): Promise<CryptoKey> {
  const privateKey = await crypto.subtle.importKey('pkcs8', toBufferSource(pkcs8), P256, true, ['deriveBits'])
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', privateKey)
  return crypto.subtle.importKey('jwk', { kty, crv, x, y } as JsonWebKey, P256, true, [])
}

export function importImageKey(pkcs8: Uint8Array): ImageKey {
  return {
    async for(algorithm) {
      const parameters = algorithm.startsWith('ECDH-ES')
        ? P256
        : { name: 'RSA-OAEP', hash: algorithm === 'RSA-OAEP' ? 'SHA-1' : 'SHA-256' }
      const usages: KeyUsage[] = algorithm.startsWith('ECDH-ES') ? ['deriveBits'] : ['decrypt', 'unwrapKey']
      try {
        return await crypto.subtle.importKey('pkcs8', toBufferSource(pkcs8), parameters, false, usages)
      } catch {
        // The library's error may describe the key.
        throw refused(`the private key does not fit ${algorithm}: wanted PKCS#8 DER of EC P-256 or RSA`)
      }
    },
  }
}
