import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { OutboxEntry } from '@trusted-pods/protocol/chain/outbox.ts'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { openOutboxFiles } from './outbox-files.ts'

const ACCOUNT = { chainId: 1, address: '0x52908400098527886E0F7030069857D2E4169EE7' } as const

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outbox-'))
})
after(() => rm(folder, { recursive: true, force: true }))

function entry(nonce: number, what = 'opening the channel'): OutboxEntry {
  const fees = { maxFeePerGas: 10n ** 20n, maxPriorityFeePerGas: 7n }
  return {
    nonce,
    what,
    to: nonce === 0 ? undefined : ACCOUNT.address,
    data: '0xabcd',
    gas: 21_000n,
    attempts: [{ hash: `0x${'11'.repeat(32)}`, raw: '0x02', signedAtMs: 5, ...fees }],
  }
}

test('what is added comes back by nonce, after the process too', async () => {
  const place = join(folder, 'a')
  const outbox = openOutboxFiles(place)
  for (const nonce of [10, 9, 0]) assert.equal(await outbox.add(ACCOUNT, entry(nonce)), true)
  assert.deepEqual(await openOutboxFiles(place).load(ACCOUNT), [entry(0), entry(9), entry(10)])
  assert.deepEqual(await outbox.load({ ...ACCOUNT, chainId: 2 }), [])
})

test('of many that want one nonce at once one gets it', async () => {
  const stores = Array.from({ length: 8 }, () => openOutboxFiles(join(folder, 'b')))
  const added = await Promise.all(stores.map((outbox, i) => outbox.add(ACCOUNT, entry(3, `sender ${i}`))))
  assert.equal(added.filter(Boolean).length, 1)
  const [held] = await openOutboxFiles(join(folder, 'b')).load(ACCOUNT)
  assert.equal(held?.what, `sender ${added.indexOf(true)}`)
})

test('an entry is replaced and removed, and nothing else is left in the folder', async () => {
  const outbox = openOutboxFiles(join(folder, 'c'))
  await outbox.add(ACCOUNT, entry(1))
  await outbox.replace(ACCOUNT, entry(1, 'claiming'))
  assert.equal((await outbox.load(ACCOUNT))[0]?.what, 'claiming')
  await outbox.remove(ACCOUNT, 1)
  await outbox.remove(ACCOUNT, 1)
  assert.deepEqual(await outbox.load(ACCOUNT), [])
  assert.deepEqual(await readdir(join(folder, 'c', `1-${ACCOUNT.address.toLowerCase()}`)), [])
})

test('what was mined is remembered for as long as a reorganisation could free its nonce', async () => {
  const outbox = openOutboxFiles(join(folder, 'e'))
  for (const nonce of [5, 6, 69]) await outbox.add(ACCOUNT, entry(nonce))
  await outbox.remove(ACCOUNT, 5, { isMined: true })
  await outbox.remove(ACCOUNT, 6)
  assert.deepEqual(await outbox.load(ACCOUNT), [entry(69)])
  const known = () => Promise.all([5, 6, 69].map((nonce) => outbox.wasMined(ACCOUNT, nonce)))
  assert.deepEqual(await known(), [true, false, false])
  await openOutboxFiles(join(folder, 'e')).remove(ACCOUNT, 69, { isMined: true })
  assert.deepEqual(await known(), [false, false, true])
})

test('a damaged file is refused with PLATFORM_STATE, never passed over', async () => {
  const place = join(folder, 'd')
  const outbox = openOutboxFiles(place)
  await outbox.add(ACCOUNT, entry(4))
  const file = join(place, `1-${ACCOUNT.address.toLowerCase()}`, '4.json')
  for (const text of [
    '',
    '{',
    '{"nonce":4}',
    '{"nonce":4,"what":"x","to":"zz","data":"0x","gas":"1","attempts":[{}]}',
  ]) {
    await writeFile(file, text)
    await assertRefused('PLATFORM_STATE', /4\.json is no stored transaction/, () => outbox.load(ACCOUNT))
  }
})
