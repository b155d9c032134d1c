/** Browser wallets in a real Chromium: two of them in a page, whose accounts anvil holds, and scripts that make up more. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import type { ChannelTerms } from '@trusted-pods/protocol/channel/terms.ts'
import { generatePrivateKey } from 'viem/accounts'
import { missingChromium, openWebPage, type WebPage } from '../support/chromium.ts'
import { type DevChain, startDevChain } from '../support/dev-chain.ts'
import { bundleForWeb } from '../support/web-bundle.ts'
import type { WalletPage } from './pages/wallets.ts'

declare const walletPage: WalletPage

const skip = (await missingChromium()) ?? false
const FOX = 'org.example.fox'
const OWL = 'org.example.owl'

let dev: DevChain
let web: WebPage
let script: string
before(async () => {
  if (skip !== false) return
  script = await bundleForWeb(join(import.meta.dirname, 'pages/wallets.ts'), { production: true })
  dev = await startDevChain()
  await dev.mint(0, 1_000_000n)
  await dev.mint(1, 1_000_000n)
})
after(async () => {
  await web?.[Symbol.asyncDispose]()
  await dev?.[Symbol.asyncDispose]()
})

async function openPage(): Promise<WebPage['page']> {
  await web?.[Symbol.asyncDispose]()
  web = await openWebPage({ scripts: { 'wallets.js': script }, connect: [dev.anvil.rpc] })
  const accounts = [dev.anvil.account(0).address, dev.anvil.account(1).address] as const
  await web.page.evaluate((setup) => walletPage.begin(setup), { config: dev.config, accounts } as const)
  return web.page
}

function termsOf(index: number): ChannelTerms {
  return {
    payer: dev.anvil.account(index).address,
    voucherSigner: ZERO_ADDRESS,
    provider: dev.anvil.account(2).address,
    meter: ZERO_ADDRESS,
    token: dev.config.token,
    ratePerHour: 1n,
    unlockDelay: 900,
    podId: generatePrivateKey(),
  }
}

test('wallets that were there before and that come later are found, each once', { skip }, async () => {
  const page = await openPage()
  const found = (await page.evaluate(() => walletPage.discover())) as Record<string, unknown>[]
  assert.deepEqual(
    found.map(({ name, rdns, isFox, isOwl }) => [name, rdns, isFox, isOwl]),
    [
      ['Fox', FOX, true, false],
      ['Owl', OWL, false, true],
    ],
  )
  assert.ok(found.every(({ icon }) => String(icon).startsWith('data:image/svg+xml,')))
})

test('what a hostile script announces is bounded text, or nothing; nobody takes the uuid of another', {
  skip,
}, async () => {
  const page = await openPage()
  await page.evaluate(() => walletPage.pollute())
  const found = (await page.evaluate(() => walletPage.discover())) as Record<string, unknown>[]
  const [fox, marked, nameless] = found
  assert.deepEqual([fox?.name, fox?.isFox], ['Fox', true])
  assert.equal(found.length, 4)
  assert.ok(String(marked?.name).length <= 64 && !/[\n\u202e]/.test(String(marked?.name)), String(marked?.name))
  assert.equal(marked?.icon, undefined)
  assert.deepEqual([nameless?.name, nameless?.icon], ['org.example.bad', undefined])
  assert.equal(await page.title(), 'test')
  assert.match(
    await page.evaluate(() => walletPage.refusedFind('org.example.bad')),
    /CHANNEL_WALLET 2 wallets of this page called org\.example\.bad/,
  )
  assert.match(await page.evaluate(() => walletPage.refusedFind('org.example.none')), /CHANNEL_WALLET no wallet/)
  assert.equal(await page.evaluate(() => walletPage.countAll()), 32)
})

test('a wallet that does not know the chain is given it, goes there, and pays into a channel', { skip }, async () => {
  const page = await openPage()
  const address = await page.evaluate((rdns) => walletPage.connect(rdns), FOX)
  assert.equal(address, dev.anvil.account(0).address)
  const deposited = await page.evaluate((terms) => walletPage.pay(terms, 1_234n), termsOf(0))
  assert.equal(deposited, 1_234n)
  assert.deepEqual(await page.evaluate(() => walletPage.foxAsked()), [
    'eth_requestAccounts',
    'eth_chainId',
    'wallet_switchEthereumChain',
    'wallet_addEthereumChain',
    'eth_chainId',
    'wallet_switchEthereumChain',
    'eth_chainId',
    'eth_signTypedData_v4',
    'eth_chainId',
    'eth_sendTransaction',
  ])
  assert.deepEqual(web.errors, [])
})

test('the account that is asked for is taken, also where it is not the first; one that is not there is refused', {
  skip,
}, async () => {
  const page = await openPage()
  await page.evaluate(() => walletPage.discover())
  const account = dev.anvil.account(0).address
  assert.equal(
    await page.evaluate((wanted) => walletPage.connect(wanted.rdns, wanted), { rdns: OWL, account }),
    account,
  )
  const other = dev.anvil.account(5).address
  assert.match(
    await page.evaluate((wanted) => walletPage.refusedConnect(wanted.rdns, wanted), { rdns: OWL, account: other }),
    /CHANNEL_WALLET Owl shows this page 2 accounts, wanted account 0x/,
  )
})

test('a person who says no, and a chain that cannot be added, are told as such', { skip }, async () => {
  const page = await openPage()
  await page.evaluate(() => walletPage.refuse('eth_requestAccounts'))
  const refused = () => page.evaluate((rdns) => walletPage.refusedConnect(rdns, { canAdd: false }), FOX)
  assert.match(await refused(), /CHANNEL_WALLET Fox refuses eth_requestAccounts: User rejected/)
  await page.evaluate(() => walletPage.refuse('wallet_addEthereumChain'))
  assert.match(await refused(), /CHANNEL_WALLET Fox refuses wallet_switchEthereumChain: Unrecognized chain ID/)
})

test('a wallet that leaves its chain, account or connection ends what is under way, and signs nothing more', {
  skip,
}, async () => {
  const page = await openPage()
  const terms = termsOf(0)
  const left = () => page.evaluate(() => walletPage.left())
  const connect = () => page.evaluate((rdns) => walletPage.connect(rdns), FOX)
  const refusedPay = () => page.evaluate((one) => walletPage.refusedPay(one), terms)

  await connect()
  await page.evaluate((account) => walletPage.emit('fox', 'accountsChanged', [account]), terms.payer)
  assert.equal(await left(), 'here')
  await page.evaluate((account) => walletPage.emit('fox', 'accountsChanged', [account]), dev.anvil.account(5).address)
  assert.equal(await left(), 'CHANNEL_WALLET')
  assert.match(await refusedPay(), /CHANNEL_WALLET .*left account/)

  await connect()
  await page.evaluate(() => walletPage.moveFox(1))
  assert.equal(await left(), 'CHANNEL_WRONG_CHAIN')
  await connect()
  await page.evaluate(() => walletPage.emit('fox', 'disconnect', {}))
  assert.equal(await left(), 'CHANNEL_WALLET')

  await connect()
  await page.evaluate(() => walletPage.moveFox(1, { silently: true }))
  assert.match(await refusedPay(), /CHANNEL_W.* is on chain 1, wanted 31337/)
  assert.equal((await page.evaluate(() => walletPage.foxAsked())).includes('eth_sendTransaction'), false)
  assert.deepEqual(await page.evaluate(() => walletPage.leave()), [0, 0])
})
