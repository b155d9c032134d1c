/**
 * Whether the contract at an address is an escrow that we know: its code is compared with the one that this program was built with,
 * and where its constructor wrote values of its own, those are put to the test. Spec: spec/PAYMENT.md#chain.
 */
import { type Address, type Hex, keccak256, type PublicClient } from 'viem'
import { fromHex, toHex } from '../bytes.ts'
import { type ChannelTerms, channelId } from '../channel/terms.ts'
import { TrustedPodsError } from '../errors.ts'
import { ZERO_ADDRESS } from './address.ts'
import { fromChain } from './chain-error.ts'
import { podEscrowAbi, podEscrowBytecode } from './gen/pod-escrow.ts'

/** PUSH32: what stands behind it is zero in the build where the constructor writes an immutable. */
const PUSH32 = 0x7f
const PUSH1 = 0x60
const WORD = 32
/** Long enough to occur once in the code that makes the contract. */
const START_BYTES = 64

/**
 * @param allowed Keccak-256 of other code that is accepted: of another version of the escrow.
 * @throws TrustedPodsError CHANNEL_WRONG_CHAIN with the hash that was seen.
 */
export async function requireEscrowCode(
  node: { readonly chainId: number; readonly public: PublicClient },
  escrow: Address,
  { code, allowed = [] }: { code: Hex; allowed?: readonly Hex[] },
): Promise<void> {
  const hash = keccak256(code)
  if (!isOurBuild(code) && !allowed.some((known) => known.toLowerCase() === hash))
    throw wrong(escrow, `is none that this program knows; its hash is ${hash}`)
  const terms = SAMPLE_TERMS
  const call = { address: escrow, abi: podEscrowAbi, functionName: 'channelIdOf', args: [terms] } as const
  const seen = await fromChain('asking the escrow for an id', node.public.readContract(call))
  if (seen !== channelId(terms, { chainId: node.chainId, escrow }))
    throw wrong(escrow, 'gives channels other ids than its place and their terms do')
}

/** Any terms do. */
const SAMPLE_TERMS: ChannelTerms = {
  payer: ZERO_ADDRESS,
  voucherSigner: ZERO_ADDRESS,
  provider: ZERO_ADDRESS,
  meter: ZERO_ADDRESS,
  token: ZERO_ADDRESS,
  ratePerHour: 1n,
  unlockDelay: 900,
  podId: `0x${'00'.repeat(WORD)}`,
}

/** The same instructions; only immutables may differ. */
function isOurBuild(code: Hex): boolean {
  const seen = fromHex(code)
  const built = fromHex(podEscrowBytecode)
  if (!seen || !built || seen.length < START_BYTES) return false
  const at = podEscrowBytecode.toLowerCase().indexOf(toHex(seen.subarray(0, START_BYTES)))
  const template = at < 0 ? new Uint8Array() : built.subarray((at - 2) / 2)
  return template.length === seen.length && sameButImmutables(seen, template)
}

function sameButImmutables(seen: Uint8Array, template: Uint8Array): boolean {
  for (let at = 0; at < template.length; at++) {
    const instruction = template[at] ?? 0
    if (seen[at] !== instruction) return false
    if (instruction < PUSH1 || instruction > PUSH32) continue
    const width = instruction - PUSH1 + 1
    const wanted = template.subarray(at + 1, at + 1 + width)
    const isImmutable = instruction === PUSH32 && wanted.length === WORD && wanted.every((byte) => byte === 0)
    if (!isImmutable && !wanted.every((byte, i) => byte === seen[at + 1 + i])) return false
    at += width
  }
  return true
}

function wrong(escrow: Address, why: string): TrustedPodsError {
  return new TrustedPodsError(
    'CHANNEL_WRONG_CHAIN',
    `the code at escrow ${escrow} ${why}: correct chain.escrow, or name the hash in chain.escrowCodeHash if you know that contract`,
  )
}
