/**
 * The payer's word that one channel pays for one pod, by one quote, from one publisher, at one provider. Without it a channel id
 * seen on chain could be spent on another pod, or replayed at another provider. Spec: spec/PAYMENT.md#authorization. Pure.
 */
import { type Address, type Hex, hashTypedData, type LocalAccount } from 'viem'
import { sha256, toHex } from '../bytes.ts'
import { toSignatureBytes, verifySignature } from './signature.ts'
import { PROVISION_TYPES } from './typed-data.ts'

/** What is tied together. */
export interface Provision {
  readonly chainId: number | bigint
  readonly channelId: Hex
  /** SHA-256 of the encoded Pod; 32 bytes. */
  readonly podDigest: Uint8Array
  /** SHA-256 of the quote's bytes; 32 bytes. */
  readonly quoteDigest: Uint8Array
  /** Peer id, multihash bytes. */
  readonly publisherPeer: Uint8Array
  /** Peer id, multihash bytes. */
  readonly providerPeer: Uint8Array
}

/** SHA-256 of the encoded Pod as it is sealed. */
export function podDigest(encodedPod: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  return sha256(encodedPod)
}

/** @param options.account the channel's payer. */
export async function signAuthorization(
  provision: Provision,
  { account }: { account: LocalAccount },
): Promise<Uint8Array<ArrayBuffer>> {
  return toSignatureBytes(await account.signTypedData(typedProvision(provision)))
}

/** @throws TrustedPodsError CHANNEL_SIGNATURE when `payer` did not sign exactly this provision. */
export async function verifyAuthorization(
  signature: Uint8Array,
  provision: Provision,
  { payer }: { payer: Address },
): Promise<void> {
  const hash = hashTypedData(typedProvision(provision))
  await verifySignature(hash, signature, { signer: payer, code: 'CHANNEL_SIGNATURE', what: 'the authorization' })
}

function typedProvision(provision: Provision) {
  const message = {
    channelId: provision.channelId,
    podDigest: toHex0x(provision.podDigest),
    quoteDigest: toHex0x(provision.quoteDigest),
    publisherPeer: toHex0x(provision.publisherPeer),
    providerPeer: toHex0x(provision.providerPeer),
  }
  const domain = { name: 'Trusted Pods Provision', version: '1', chainId: BigInt(provision.chainId) }
  return { domain, types: PROVISION_TYPES, primaryType: 'Provision', message } as const
}

function toHex0x(bytes: Uint8Array): Hex {
  return `0x${toHex(bytes)}`
}
