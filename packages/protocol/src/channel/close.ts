/** The provider's word that a channel may be closed at once at a final sum. Spec: spec/PAYMENT.md#close. Pure. */
import { hashTypedData, type LocalAccount } from 'viem'
import { toSignatureBytes, verifySignature } from './signature.ts'
import { type ChannelTerms, channelId } from './terms.ts'
import { CLOSE_TYPES, type EscrowRef, escrowDomain } from './typed-data.ts'

export interface CloseOptions extends EscrowRef {
  readonly terms: ChannelTerms
}

/** What the provider signs; the payer brings it to the contract. */
export interface CloseAgreement {
  /** Base units that the provider has claimed or claims with the close, since the start. */
  readonly cumulative: bigint
  /** Unix seconds after which the agreement is void. */
  readonly deadline: bigint
}

export interface SignedClose extends CloseAgreement {
  readonly signature: Uint8Array
}

/** @param options.account the provider. */
export async function signClose(
  close: CloseAgreement,
  options: CloseOptions & { account: LocalAccount },
): Promise<SignedClose> {
  const signature = await options.account.signTypedData(typedClose(close, options))
  return { cumulative: close.cumulative, deadline: close.deadline, signature: toSignatureBytes(signature) }
}

/** @throws TrustedPodsError CHANNEL_SIGNATURE when the channel's provider did not sign it. */
export async function verifyClose(close: SignedClose, options: CloseOptions): Promise<void> {
  const hash = hashTypedData(typedClose(close, options))
  const expected = { signer: options.terms.provider, code: 'CHANNEL_SIGNATURE', what: 'the close' } as const
  await verifySignature(hash, close.signature, expected)
}

function typedClose({ cumulative, deadline }: CloseAgreement, options: CloseOptions) {
  const message = { channelId: channelId(options.terms, options), cumulative, deadline }
  return { domain: escrowDomain(options), types: CLOSE_TYPES, primaryType: 'Close', message } as const
}
