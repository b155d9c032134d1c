import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { create, fromBinary } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { CapacityRequestSchema, QuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { Capacity } from './capacity.ts'
import { linkTo } from './chain-link.ts'
import { Journal } from './journal.ts'
import { loadPrices, requireMetered } from './prices.ts'
import { type Asker, makeOffer } from './quote.ts'

const LIST = `decimals: 6
symbol: USDC
prices:
  cpu: 0.04 USDC per vCPU-hour
  egress-bandwidth: 0.01 USDC per GiB
`
const GIB = 2n ** 30n
const CPU = { name: 'cpu', selector: '', quantity: 1_000n }
const EGRESS = { name: 'egress-bandwidth', selector: '', quantity: 100n * GIB }

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tp-prices-'))
})
after(() => rm(folder, { recursive: true, force: true }))

async function load(capacity = [CPU, EGRESS]) {
  const pricesFile = join(folder, 'prices.yaml')
  await writeFile(pricesFile, LIST)
  const address = `0x${'11'.repeat(20)}` as const
  const chain = { chainId: 1, rpc: [], escrow: address, registry: address, token: address }
  return await loadPrices({ pricesFile, chain, capacity })
}

test('a price of use needs something that counts it, and an amount that is offered', async () => {
  const table = await load()
  requireMetered(table, { traffic: 'counted' })
  await assertRefused('QUOTE_PRICES_INVALID', /egress-bandwidth, and nothing counts it/, async () =>
    requireMetered(table, { traffic: 'none' }),
  )
  await assertRefused('QUOTE_PRICES_INVALID', /prices egress-bandwidth, and capacity offers none/, () => load([CPU]))
})

test('where use is priced a pod says how much, and its rate holds all of that', async () => {
  const pricing = await load()
  const account = privateKeyToAccount(generatePrivateKey())
  const peerId = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
  const place = { chainId: 1, escrow: account.address, provider: account.address, meter: account.address }
  const parts = {
    link: linkTo({} as Chain),
    capacity: new Capacity([CPU, EGRESS], new Journal(':memory:')),
    pricing,
    own: { ...place, tokens: [], minUnlockDelaySeconds: 3600 },
    account,
    peerId,
    quoteMs: 60_000,
    minRuntimeMinutes: 60,
    hosts: [],
    requireRoom: async () => {},
    relay: { leastDeposit: async () => undefined },
  }
  const remoteAddr = { getComponents: () => [{ name: 'ip4', value: '192.0.2.1' }] } as Asker['remoteAddr']
  const asker = { remotePeer: peerId, remoteAddr }
  const ask = (resources: (typeof CPU)[]) => makeOffer(create(CapacityRequestSchema, { resources }), asker, parts)
  await assertRefused('QUOTE_BAD_REQUEST', /egress-bandwidth is priced here by use: say how many bytes/, () =>
    ask([CPU]),
  )
  const { quote } = await ask([CPU, { ...EGRESS, quantity: 10n * GIB }])
  assert.ok(quote)
  assert.equal(fromBinary(QuoteSchema, quote.quote).payment?.ratePerHour, '140000')
})
