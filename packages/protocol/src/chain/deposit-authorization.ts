/**
 * Deposits that the payer signs and somebody else sends: EIP-3009 authorizations for one channel. The payer needs no coin for gas;
 * the sender can neither change the sum nor turn it elsewhere, and whoever is first, it is used once. Spec: spec/PAYMENT.md#relay.
 */
import { type Abi, encodeFunctionData, type Hex, hashTypedData, hexToBytes, parseSignature, toHex } from 'viem'
import { toSignatureBytes, verifySignature } from '../channel/signature.ts'
import { type ChannelTerms, channelId } from '../channel/terms.ts'
import { authorizationNonce, type TransferAuthorization } from '../channel/transfer-authorization.ts'
import { TrustedPodsError } from '../errors.ts'
import { fromChain } from './chain-error.ts'
import { type Chain, requireWallet } from './client.ts'
import { podEscrowAbi } from './gen/pod-escrow.ts'
import { testTokenAbi } from './gen/test-token.ts'
import { orAbsent, tokenDomain } from './permit.ts'
import type { Call } from './transact.ts'

const RECEIVE_TYPES = {
  ReceiveWithAuthorization: [
    { name: 'from', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'validAfter', type: 'uint256' },
    { name: 'validBefore', type: 'uint256' },
    { name: 'nonce', type: 'bytes32' },
  ],
} as const

/** A quarter of an hour: six tries of a provider on a slow chain, and soon enough over that another way can be taken. */
export const AUTHORIZATION_SECONDS = 900n

/** Whether the token knows EIP-3009, and a domain of it can be proven. @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE. */
export async function canAuthorize(chain: Chain, token: Hex): Promise<boolean> {
  const account = requireWallet(chain).account.address
  const state = await orAbsent(readState(chain, { token, payer: account, nonce: `0x${'00'.repeat(32)}` }))
  return state !== undefined && (await tokenDomain(chain, token)) !== undefined
}

/**
 * The wallet's authorization of a deposit into the channel of these terms, whose payer it must be.
 * @throws TrustedPodsError CHANNEL_WALLET where the token has no such thing.
 */
export async function signDeposit(
  chain: Chain,
  terms: ChannelTerms,
  { amount }: { amount: bigint },
): Promise<TransferAuthorization> {
  const { account } = requireWallet(chain)
  const salt = toHex(crypto.getRandomValues(new Uint8Array(32)))
  const validBefore = (await latestSeconds(chain)) + AUTHORIZATION_SECONDS
  const typed = await typedDeposit(chain, terms, { amount, validBefore, salt })
  return { amount, validBefore, salt, signature: toHex(toSignatureBytes(await account.signTypedData(typed))) }
}

/** @throws TrustedPodsError CHANNEL_SIGNATURE when the payer has not signed exactly this; CHANNEL_WALLET as `signDeposit`. */
export async function verifyDeposit(
  chain: Chain,
  terms: ChannelTerms,
  authorization: TransferAuthorization,
): Promise<void> {
  const hash = hashTypedData(await typedDeposit(chain, terms, authorization))
  const expected = { signer: terms.payer, code: 'CHANNEL_SIGNATURE', what: 'the authorization of the deposit' } as const
  await verifySignature(hash, hexToBytes(authorization.signature), expected)
}

/** The transaction that brings the deposit in; anybody may send it. */
export function depositCall(chain: Chain, terms: ChannelTerms, authorization: TransferAuthorization): Call {
  const { amount, validBefore, salt, signature } = authorization
  const { r, s, yParity } = parseSignature(signature)
  const args = [terms, amount, 0n, validBefore, salt, 27 + yParity, r, s] as const
  return {
    to: chain.escrow,
    data: encodeFunctionData({ abi: podEscrowAbi, functionName: 'depositWithAuthorization', args }),
    abi: DEPOSIT_ABI,
    what: 'sending the deposit that its payer has signed',
  }
}

/** Refusals may come from the escrow or from the token. */
const DEPOSIT_ABI: Abi = [...podEscrowAbi, ...testTokenAbi.filter(({ type }) => type === 'error')]

/** Whether the deposit has come in, or its payer has cancelled it. */
export async function isUsed(chain: Chain, terms: ChannelTerms, { salt }: TransferAuthorization): Promise<boolean> {
  const nonce = authorizationNonce(channelId(terms, chain), salt)
  return (await orAbsent(readState(chain, { token: terms.token, payer: terms.payer, nonce }))) === true
}

/** Whether no block to come can take it. A later block is never older than the newest one. */
export async function isExpired(chain: Chain, { validBefore }: TransferAuthorization): Promise<boolean> {
  return (await latestSeconds(chain)) >= validBefore
}

function readState(chain: Chain, { token, payer, nonce }: { token: Hex; payer: Hex; nonce: Hex }): Promise<boolean> {
  const call = { address: token, abi: testTokenAbi, functionName: 'authorizationState', args: [payer, nonce] } as const
  return chain.public.readContract(call)
}

async function latestSeconds(chain: Chain): Promise<bigint> {
  const { timestamp } = await fromChain('reading the time of the chain', chain.public.getBlock())
  return timestamp
}

async function typedDeposit(
  chain: Chain,
  terms: ChannelTerms,
  { amount, validBefore, salt }: Omit<TransferAuthorization, 'signature'>,
) {
  const domain = await tokenDomain(chain, terms.token)
  if (domain === undefined)
    throw new TrustedPodsError('CHANNEL_WALLET', `token ${terms.token} takes no transfers by signature (EIP-3009)`)
  const nonce = authorizationNonce(channelId(terms, chain), salt)
  const message = { from: terms.payer, to: chain.escrow, value: amount, validAfter: 0n, validBefore, nonce }
  return { domain, types: RECEIVE_TYPES, primaryType: 'ReceiveWithAuthorization', message } as const
}
