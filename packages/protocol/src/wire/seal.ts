/**
 * The pod, with its keys and secrets, sealed by HPKE (RFC 9180) to the key that was attested, bound to the session.
 * DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, base mode. Spec: spec/PROTOCOL.md#sealing. Pure.
 */
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import { concatBytes, lengthPrefixed, toBufferSource } from '../bytes.ts'
import { TrustedPodsError } from '../errors.ts'

const LABEL = new TextEncoder().encode('trusted-pods/provision/0.0.1\0')
const KEY_BYTES = 32

export interface HpkeKeyPair {
  /** X25519, 32 bytes. */
  readonly publicKey: Uint8Array
  /** X25519, 32 bytes. Secret. */
  readonly privateKey: Uint8Array
}

export interface SealedPod {
  /** 32 bytes. */
  encapsulatedKey: Uint8Array
  sealed: Uint8Array
}

/** Key and session of the statement that was attested; `session` is 32 bytes. */
export interface SealOptions {
  hpkePublicKey: Uint8Array
  session: Uint8Array
}

export async function generateHpkeKey(): Promise<HpkeKeyPair> {
  const { kem } = newSuite()
  const pair = await kem.generateKeyPair()
  const publicKey = new Uint8Array(await kem.serializePublicKey(pair.publicKey))
  const privateKey = new Uint8Array(await kem.serializePrivateKey(pair.privateKey))
  return { publicKey, privateKey }
}

export async function sealPod(pod: Uint8Array, { hpkePublicKey, session }: SealOptions): Promise<SealedPod> {
  const suite = newSuite()
  const recipientPublicKey = await suite.kem.deserializePublicKey(toBufferSource(hpkePublicKey))
  const sender = await suite.createSenderContext({ recipientPublicKey, info: sealingInfo(session) })
  return { encapsulatedKey: new Uint8Array(sender.enc), sealed: new Uint8Array(await sender.seal(toBufferSource(pod))) }
}

/** @throws TrustedPodsError PROVISION_UNSEALING_FAILED: another key, another session, or changed bytes; never which. */
export async function unsealPod(
  { encapsulatedKey, sealed }: SealedPod,
  { keyPair, session }: { keyPair: HpkeKeyPair; session: Uint8Array },
): Promise<Uint8Array> {
  try {
    if (encapsulatedKey.length !== KEY_BYTES)
      throw new RangeError(`encapsulated key of ${encapsulatedKey.length} bytes`)
    const suite = newSuite()
    const recipientKey = {
      publicKey: await suite.kem.deserializePublicKey(toBufferSource(keyPair.publicKey)),
      privateKey: await suite.kem.deserializePrivateKey(toBufferSource(keyPair.privateKey)),
    }
    const recipient = await suite.createRecipientContext({
      recipientKey,
      enc: toBufferSource(encapsulatedKey),
      info: sealingInfo(session),
    })
    return new Uint8Array(await recipient.open(toBufferSource(sealed)))
  } catch (cause) {
    throw new TrustedPodsError(
      'PROVISION_UNSEALING_FAILED',
      'the sealed pod does not open with the attested key in this session',
      {
        cause,
      },
    )
  }
}

function newSuite(): CipherSuite {
  return new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() })
}

function sealingInfo(session: Uint8Array): Uint8Array<ArrayBuffer> {
  return concatBytes(LABEL, lengthPrefixed(session))
}
