/** What the payer, the provider and a relayer pay for every action of the escrow. */
import {
  type Address,
  encodeAbiParameters,
  encodeFunctionData,
  type Hex,
  hashTypedData,
  keccak256,
  maxUint40,
  maxUint64,
  maxUint256,
  parseSignature,
  toHex,
} from 'viem'
import { podEscrowAbi, podEscrowBytecode } from '../../packages/protocol/src/chain/gen/pod-escrow.ts'
import { testTokenAbi, testTokenBytecode } from '../../packages/protocol/src/chain/gen/test-token.ts'
import { PERMIT_TYPES } from '../../packages/protocol/src/chain/permit.ts'
import {
  CLOSE_TYPES,
  escrowDomain,
  RECEIPT_TYPES,
  TERMS_TYPES,
  VOUCHER_TYPES,
} from '../../packages/protocol/src/channel/typed-data.ts'
import type { Costs, Session } from './session.ts'

const DEPOSIT = 10_000_000n
const USAGE = keccak256('0x01')
const SALT = keccak256('0x02')

const TYPES = {
  ...TERMS_TYPES,
  ...RECEIPT_TYPES,
  ...VOUCHER_TYPES,
  ...CLOSE_TYPES,
  ...PERMIT_TYPES,
  ReceiveWithAuthorization: [
    { name: 'from', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'validAfter', type: 'uint256' },
    { name: 'validBefore', type: 'uint256' },
    { name: 'nonce', type: 'bytes32' },
  ],
}

type Deployed = Awaited<ReturnType<typeof prepare>>

export async function measureEscrow(session: Session): Promise<Costs> {
  const costs: Costs = new Map()
  const parts = await prepare(session, costs)
  await measureFunding(session, parts, costs)
  await measurePayment(session, parts, costs)
  await measureClosing(session, parts, costs)
  return costs
}

async function prepare(session: Session, costs: Costs) {
  const { address: token } = await session.deploy({ abi: testTokenAbi, bytecode: testTokenBytecode, args: [] })
  const { address: escrow, gas } = await session.deploy({ abi: podEscrowAbi, bytecode: podEscrowBytecode, args: [] })
  costs.set('deploy PodEscrow', gas)
  const [payer, provider, meter, relayer, saver] = [1, 2, 3, 4, 5].map(session.account)
  if (!payer || !provider || !meter || !relayer || !saver) throw new Error('five accounts are needed')
  const mint = (to: Address) => encodeFunctionData({ abi: testTokenAbi, functionName: 'mint', args: [to, 10n ** 12n] })
  for (const { address } of [payer, saver]) await session.send(payer, token, mint(address))
  const approve = encodeFunctionData({ abi: testTokenAbi, functionName: 'approve', args: [escrow, maxUint256] })
  await session.send(payer, token, approve)
  const domain = escrowDomain({ chainId: session.chainId, escrow })
  const tokenDomain = { name: 'Test USD Coin', version: '1', chainId: session.chainId, verifyingContract: token }
  const termsOf = (pod: number, from: Address = payer.address) => ({
    payer: from,
    voucherSigner: from,
    provider: provider.address,
    meter: meter.address,
    token,
    ratePerHour: 1_000_000n,
    unlockDelay: 21_600,
    podId: keccak256(toHex(pod)),
  })
  const idOf = (terms: ReturnType<typeof termsOf>): Hex =>
    hashTypedData({ domain, types: TYPES, primaryType: 'Terms', message: terms })
  const open = (pod: number, from?: Address) =>
    encodeFunctionData({ abi: podEscrowAbi, functionName: 'open', args: [termsOf(pod, from), DEPOSIT] })
  return { token, escrow, payer, provider, meter, relayer, saver, domain, tokenDomain, termsOf, idOf, open }
}

async function measureFunding(session: Session, parts: Deployed, costs: Costs): Promise<void> {
  const { token, escrow, payer, relayer, saver, tokenDomain, termsOf, idOf, open } = parts
  costs.set('open, first with this token', await session.send(payer, escrow, open(0)))
  costs.set('open', await session.send(payer, escrow, open(1)))
  const topUp = encodeFunctionData({ abi: podEscrowAbi, functionName: 'topUp', args: [termsOf(1), DEPOSIT] })
  costs.set('top up', await session.send(payer, escrow, topUp))

  const permitted = { owner: saver.address, spender: escrow, value: DEPOSIT, nonce: 0n, deadline: maxUint256 }
  const permit = { domain: tokenDomain, types: TYPES, primaryType: 'Permit', message: permitted } as const
  const { r, s, yParity } = parseSignature(await saver.signTypedData(permit))
  const selfPermit = encodeFunctionData({
    abi: podEscrowAbi,
    functionName: 'selfPermit',
    args: [token, DEPOSIT, maxUint256, 27 + yParity, r, s],
  })
  const both = multicall(selfPermit, open(2, saver.address))
  costs.set('permit and open in one transaction', await session.send(saver, escrow, both))

  const terms = termsOf(3)
  const nonce = keccak256(encodeAbiParameters([{ type: 'bytes32' }, { type: 'bytes32' }], [idOf(terms), SALT]))
  const times = { validAfter: 0n, validBefore: BigInt(maxUint40) }
  const allowed = { from: payer.address, to: escrow, value: DEPOSIT, ...times, nonce }
  const request = {
    domain: tokenDomain,
    types: TYPES,
    primaryType: 'ReceiveWithAuthorization',
    message: allowed,
  } as const
  const signature = parseSignature(await payer.signTypedData(request))
  const deposit = encodeFunctionData({
    abi: podEscrowAbi,
    functionName: 'depositWithAuthorization',
    args: [terms, DEPOSIT, 0n, times.validBefore, SALT, 27 + signature.yParity, signature.r, signature.s],
  })
  costs.set('open by a relayed EIP-3009 authorisation', await session.send(relayer, escrow, deposit))
}

async function measurePayment(session: Session, parts: Deployed, costs: Costs): Promise<void> {
  const { token, escrow, payer, provider, relayer, domain, termsOf, idOf, open } = parts
  await session.pass(3600)
  const claim = async (pod: number, cumulative: bigint) => {
    const args = [termsOf(pod), cumulative, USAGE, await signReceipt(parts, pod, cumulative)] as const
    return await session.send(relayer, escrow, encodeFunctionData({ abi: podEscrowAbi, functionName: 'claim', args }))
  }
  costs.set('claim, first of this provider', await claim(1, 500_000n))
  costs.set('claim', await claim(1, 600_000n))

  const message = { channelId: idOf(termsOf(1)), cumulative: 2_000_000n }
  const voucher = await payer.signTypedData({ domain, types: TYPES, primaryType: 'Voucher', message })
  const args = [termsOf(1), 2_000_000n, voucher] as const
  const redeem = encodeFunctionData({ abi: podEscrowAbi, functionName: 'redeem', args })
  costs.set('redeem a voucher', await session.send(relayer, escrow, redeem))

  const pods = Array.from({ length: 10 }, (_, index) => 100 + index)
  for (const pod of pods) await session.send(payer, escrow, open(pod))
  await session.pass(3600)
  for (const pod of pods) await claim(pod, 100_000n)
  const itemOf = async (pod: number, cumulative: bigint) => ({
    terms: termsOf(pod),
    cumulative,
    usageHash: USAGE,
    meterSig: await signReceipt(parts, pod, cumulative),
  })
  const items = await Promise.all(pods.map((pod) => itemOf(pod, 700_000n)))
  const batch = encodeFunctionData({ abi: podEscrowAbi, functionName: 'claimBatch', args: [items] })
  const whole = await session.send(relayer, escrow, batch)
  costs.set('claimBatch of 10', whole)
  const alone = encodeFunctionData({
    abi: podEscrowAbi,
    functionName: 'claimBatch',
    args: [[await itemOf(100, 800_000n)]],
  })
  const further = pods.length - 1
  costs.set('each further claim in a batch', (whole - (await session.send(relayer, escrow, alone))) / BigInt(further))

  const withdraw = encodeFunctionData({
    abi: podEscrowAbi,
    functionName: 'withdraw',
    args: [token, provider.address, 0n],
  })
  costs.set('withdraw all', await session.send(provider, escrow, withdraw))
}

async function measureClosing(session: Session, parts: Deployed, costs: Costs): Promise<void> {
  const { token, escrow, payer, provider, relayer, termsOf, open } = parts
  for (const pod of [200, 201, 202, 203]) await session.send(payer, escrow, open(pod))
  const requestClose = encodeFunctionData({ abi: podEscrowAbi, functionName: 'requestClose', args: [termsOf(200)] })
  costs.set('requestClose', await session.send(payer, escrow, requestClose))
  await session.pass(21_600)
  const finalize = encodeFunctionData({ abi: podEscrowAbi, functionName: 'finalizeClose', args: [termsOf(200)] })
  costs.set('finalizeClose with a refund', await session.send(relayer, escrow, finalize))
  const withdraw = encodeFunctionData({ abi: podEscrowAbi, functionName: 'withdraw', args: [token, payer.address, 0n] })
  costs.set('withdraw a refund', await session.send(payer, escrow, withdraw))

  const letGo = encodeFunctionData({
    abi: podEscrowAbi,
    functionName: 'settleClose',
    args: [termsOf(201), 0n, 0n, '0x'],
  })
  costs.set('settleClose by the provider', await session.send(provider, escrow, letGo))
  const agreed = await settleByPayer(parts, 202, 300_000n)
  costs.set('settleClose by the payer, with a last payment', await session.send(payer, escrow, agreed))

  const args = [payer.address, token] as const
  const withdrawFor = encodeFunctionData({ abi: podEscrowAbi, functionName: 'withdrawFor', args })
  costs.set('withdraw a refund for somebody', await session.send(relayer, escrow, withdrawFor))
  const next = encodeFunctionData({ abi: podEscrowAbi, functionName: 'openFromCredit', args: [termsOf(300), 0n] })
  const move = multicall(await settleByPayer(parts, 203, 0n), next)
  costs.set('move a deposit to new terms in one transaction', await session.send(payer, escrow, move))
}

function signReceipt({ meter, domain, termsOf, idOf }: Deployed, pod: number, cumulative: bigint): Promise<Hex> {
  const message = { channelId: idOf(termsOf(pod)), cumulative, usageHash: USAGE }
  return meter.signTypedData({ domain, types: TYPES, primaryType: 'Receipt', message })
}

/** The payer's call with the provider's signature over a final sum. */
async function settleByPayer(parts: Deployed, pod: number, cumulative: bigint): Promise<Hex> {
  const { provider, domain, termsOf, idOf } = parts
  const message = { channelId: idOf(termsOf(pod)), cumulative, deadline: maxUint64 }
  const signature = await provider.signTypedData({ domain, types: TYPES, primaryType: 'Close', message })
  const args = [termsOf(pod), cumulative, maxUint64, signature] as const
  return encodeFunctionData({ abi: podEscrowAbi, functionName: 'settleClose', args })
}

function multicall(...calls: Hex[]): Hex {
  return encodeFunctionData({ abi: podEscrowAbi, functionName: 'multicall', args: [calls] })
}
