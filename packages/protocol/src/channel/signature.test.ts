import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Hex, keccak256 } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { concatBytes, fromHex, toHex } from '../bytes.ts'
import { ZERO_ADDRESS } from '../chain/address.ts'
import { type ErrorCode, TrustedPodsError } from '../errors.ts'
import { signAuthorization, verifyAuthorization } from './authorization.ts'
import { signClose, verifyClose } from './close.ts'
import { toSignatureBytes, verifySignature } from './signature.ts'
import { type ChannelTerms, channelId } from './terms.ts'
import { signVoucher, verifyVoucher } from './voucher.ts'

const KEY = privateKeyToAccount(generatePrivateKey())
const OTHER = privateKeyToAccount(generatePrivateKey())
const HASH = keccak256('0x01')
const EXPECTED = { signer: KEY.address, code: 'CHANNEL_SIGNATURE', what: 'the test' } as const
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const PLACE = { chainId: 31_337, escrow: OTHER.address }
const TERMS: ChannelTerms = {
  payer: KEY.address,
  voucherSigner: ZERO_ADDRESS,
  provider: KEY.address,
  meter: ZERO_ADDRESS,
  token: OTHER.address,
  ratePerHour: 1n,
  unlockDelay: 900,
  podId: HASH,
}

test('a signature in the form that the chain accepts is proven', async () => {
  await verifySignature(HASH, await sign(), EXPECTED)
})

test('the other half of a malleable pair is refused, as the chain refuses it', async () => {
  const signature = await sign()
  const s = ORDER - BigInt(`0x${toHex(signature.subarray(32, 64))}`)
  const twin = concatBytes(
    signature.subarray(0, 32),
    fromHex(s.toString(16).padStart(64, '0')) ?? new Uint8Array(),
    Uint8Array.of(signature[64] === 27 ? 28 : 27),
  )
  await assertRefused(/low s/, () => verifySignature(HASH, twin, EXPECTED))
})

test('v as 0 or 1 is refused, as the chain refuses it', async () => {
  const signature = await sign()
  signature[64] = (signature[64] ?? 0) - 27
  await assertRefused(/v 27 or 28/, () => verifySignature(HASH, signature, EXPECTED))
})

test('a signature of another length, of no key, or by another key is refused', async () => {
  const signature = await sign()
  for (let length = 0; length < 65; length++) {
    await assertRefused(/wanted 65/, () => verifySignature(HASH, signature.slice(0, length), EXPECTED))
  }
  await assertRefused(/wanted 65/, () => verifySignature(HASH, concatBytes(signature, Uint8Array.of(0)), EXPECTED))
  const nobody = new Uint8Array(65)
  nobody[64] = 27
  await assertRefused(/belongs to no key/, () => verifySignature(HASH, nobody, EXPECTED))
  await assertRefused(/was signed by/, () => verifySignature(HASH, signature, { ...EXPECTED, signer: OTHER.address }))
  await assertRefused(/was signed by/, () => verifySignature(keccak256('0x02'), signature, EXPECTED))
})

test('a voucher is proven for its channel and sum, by the payer or the signer that the terms name', async () => {
  const voucher = await signVoucher(5n, { ...PLACE, terms: TERMS, account: KEY })
  await verifyVoucher(voucher, { ...PLACE, terms: TERMS })
  await assertRefused(/the voucher/, () => verifyVoucher({ ...voucher, cumulative: 6n }, { ...PLACE, terms: TERMS }))
  await assertRefused(/the voucher/, () => verifyVoucher(voucher, { ...PLACE, chainId: 1, terms: TERMS }))
  const delegated = { ...TERMS, voucherSigner: OTHER.address }
  await verifyVoucher(await signVoucher(5n, { ...PLACE, terms: delegated, account: OTHER }), {
    ...PLACE,
    terms: delegated,
  })
  const byPayer = await signVoucher(5n, { ...PLACE, terms: delegated, account: KEY })
  await assertRefused(/the voucher/, () => verifyVoucher(byPayer, { ...PLACE, terms: delegated }))
})

test('a close is proven for its channel, sum and deadline, by the provider only', async () => {
  const terms = { ...TERMS, payer: OTHER.address }
  const close = await signClose({ cumulative: 5n, deadline: 100n }, { ...PLACE, terms, account: KEY })
  await verifyClose(close, { ...PLACE, terms })
  for (const changed of [
    { ...close, cumulative: 4n },
    { ...close, deadline: 101n },
  ]) {
    await assertRefused(/the close/, () => verifyClose(changed, { ...PLACE, terms }))
  }
  const byPayer = await signClose(close, { ...PLACE, terms, account: OTHER })
  await assertRefused(/the close/, () => verifyClose(byPayer, { ...PLACE, terms }))
})

test('an authorization ties one channel to one pod, one quote and two peers; another of any is refused', async () => {
  const provision = {
    chainId: 31_337,
    channelId: channelId(TERMS, PLACE),
    podDigest: new Uint8Array(32).fill(1),
    quoteDigest: new Uint8Array(32).fill(2),
    publisherPeer: Uint8Array.of(3),
    providerPeer: Uint8Array.of(4),
  }
  const signature = await signAuthorization(provision, { account: KEY })
  await verifyAuthorization(signature, provision, { payer: KEY.address })
  await assertRefused(/the authorization/, () => verifyAuthorization(signature, provision, { payer: OTHER.address }))
  const others = [
    { chainId: 1 },
    { channelId: HASH },
    { podDigest: new Uint8Array(32) },
    { quoteDigest: new Uint8Array(32) },
    { publisherPeer: Uint8Array.of(4) },
    { providerPeer: Uint8Array.of(3) },
    { publisherPeer: Uint8Array.of(3, 4), providerPeer: new Uint8Array() },
  ]
  for (const other of others) {
    await assertRefused(/the authorization/, () =>
      verifyAuthorization(signature, { ...provision, ...other }, { payer: KEY.address }),
    )
  }
})

async function sign(): Promise<Uint8Array<ArrayBuffer>> {
  const signature: Hex = await KEY.sign({ hash: HASH })
  return toSignatureBytes(signature)
}

async function assertRefused(
  message: RegExp,
  act: () => Promise<void>,
  code: ErrorCode = 'CHANNEL_SIGNATURE',
): Promise<void> {
  await assert.rejects(act, (error) => {
    assert.ok(error instanceof TrustedPodsError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}
