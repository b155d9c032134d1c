import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { encodeAbiParameters, keccak256, toHex as textToHex } from 'viem'
import { toAddress, ZERO_ADDRESS } from '../chain/address.ts'
import { TrustedPodsError } from '../errors.ts'
import { TermsSchema } from '../gen/trustedpods/v0/payment_pb.ts'
import { type ChannelTerms, channelId, fromProtoTerms, toProtoTerms } from './terms.ts'

const ESCROW = toAddress(new Uint8Array(20).fill(0xee))
const PLACE = { chainId: 31_337, escrow: ESCROW }

const address = fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => toAddress(bytes))
const anyTerms: fc.Arbitrary<ChannelTerms> = fc.record(
  {
    payer: address,
    voucherSigner: fc.oneof(address, fc.constant(ZERO_ADDRESS)),
    provider: address,
    meter: address,
    token: address,
    ratePerHour: fc.bigInt(0n, 2n ** 96n - 1n),
    unlockDelay: fc.nat(2 ** 32 - 1),
    podId: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => textToHex(bytes)),
  },
  { noNullPrototype: true },
)

test('terms come back unchanged from the wire', () => {
  fc.assert(
    fc.property(anyTerms, (terms) => {
      const bytes = toBinary(TermsSchema, toProtoTerms(terms))
      assert.deepEqual(fromProtoTerms(fromBinary(TermsSchema, bytes)), terms)
    }),
  )
})

test('the id is the EIP-712 hash of the terms under the domain of the escrow, put together by hand', () => {
  const [terms] = fc.sample(anyTerms, 1)
  assert.ok(terms)
  const domain = keccak256(
    encodeAbiParameters(
      [{ type: 'bytes32' }, { type: 'bytes32' }, { type: 'bytes32' }, { type: 'uint256' }, { type: 'address' }],
      [
        keccak256(textToHex('EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)')),
        keccak256(textToHex('Trusted Pods Escrow')),
        keccak256(textToHex('1')),
        31_337n,
        ESCROW,
      ],
    ),
  )
  const { payer, voucherSigner, provider, meter, token, ratePerHour, unlockDelay, podId } = terms
  const typeHash = keccak256(
    textToHex(
      'Terms(address payer,address voucherSigner,address provider,address meter,address token,uint96 ratePerHour,uint32 unlockDelay,bytes32 podId)',
    ),
  )
  const struct = keccak256(
    encodeAbiParameters(
      ['bytes32', 'address', 'address', 'address', 'address', 'address', 'uint96', 'uint32', 'bytes32'].map((type) => ({
        type,
      })),
      [typeHash, payer, voucherSigner, provider, meter, token, ratePerHour, unlockDelay, podId],
    ),
  )
  assert.equal(channelId(terms, PLACE), keccak256(`0x1901${domain.slice(2)}${struct.slice(2)}`))
})

test('another chain, another escrow or any other field is another channel', () => {
  const [terms] = fc.sample(anyTerms, 1)
  assert.ok(terms)
  const other = toAddress(new Uint8Array(20).fill(0x77))
  const ids = [
    channelId(terms, PLACE),
    channelId(terms, { ...PLACE, chainId: 1 }),
    channelId(terms, { ...PLACE, escrow: other }),
    channelId({ ...terms, payer: other }, PLACE),
    channelId({ ...terms, voucherSigner: other }, PLACE),
    channelId({ ...terms, provider: other }, PLACE),
    channelId({ ...terms, meter: other }, PLACE),
    channelId({ ...terms, token: other }, PLACE),
    channelId({ ...terms, ratePerHour: terms.ratePerHour ^ 1n }, PLACE),
    channelId({ ...terms, unlockDelay: terms.unlockDelay === 900 ? 901 : 900 }, PLACE),
    channelId({ ...terms, podId: keccak256(terms.podId) }, PLACE),
  ]
  assert.equal(new Set(ids).size, ids.length)
  assert.equal(channelId(terms, { ...PLACE, chainId: 31_337n }), ids[0])
})

const REFUSED = {
  'a payer of 19 bytes': { payer: new Uint8Array(19) },
  'no provider': { provider: new Uint8Array() },
  'a token of 21 bytes': { token: new Uint8Array(21) },
  'a pod id of 31 bytes': { podId: new Uint8Array(31) },
  'no rate': { ratePerHour: '' },
  'a negative rate': { ratePerHour: '-1' },
  'a rate with a leading zero': { ratePerHour: '01' },
  'a rate of 2^96': { ratePerHour: `${2n ** 96n}` },
  'a rate of a thousand digits': { ratePerHour: '9'.repeat(1000) },
}

for (const [why, change] of Object.entries(REFUSED)) {
  test(`terms with ${why} are refused with CHANNEL_BAD_TERMS`, () => {
    const twenty = new Uint8Array(20)
    const good = {
      payer: twenty,
      voucherSigner: twenty,
      provider: twenty,
      meter: twenty,
      token: twenty,
      podId: new Uint8Array(32),
    }
    const terms = create(TermsSchema, { ...good, ratePerHour: '1', unlockDelaySeconds: 900, ...change })
    assert.throws(
      () => fromProtoTerms(terms),
      (error) => error instanceof TrustedPodsError && error.code === 'CHANNEL_BAD_TERMS' && error.message.length < 200,
    )
  })
}
