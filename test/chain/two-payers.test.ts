/** Two processes that pay from one account at the same time: each permit works once, and every channel is opened all the same. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { readChannels } from '@trusted-pods/protocol/chain/escrow.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { toHex } from 'viem'
import { generatePrivateKey } from 'viem/accounts'
import { startDevChain } from '../support/dev-chain.ts'
import type { OpenTask } from './open-channels.ts'

const DEPOSIT = 1_000n
const EACH = 6

test('two processes open channels from one account at once: all are open, each deposit is paid once', async (t) => {
  await using dev = await startDevChain()
  const total = DEPOSIT * BigInt(2 * EACH)
  await dev.mint(0, total)
  const outbox = await mkdtemp(join(tmpdir(), 'two-payers-'))
  t.after(() => rm(outbox, { recursive: true, force: true }))
  const account = dev.anvil.account(0)
  const provider = dev.anvil.account(1).address
  const podIds = Array.from({ length: 2 * EACH }, generatePrivateKey)
  const key = toHex(account.getHdKey().privateKey ?? assert.fail('no key'))
  const run = (ids: typeof podIds) => {
    const task: OpenTask = { config: dev.config, key, outbox, provider, podIds: ids, deposit: `${DEPOSIT}` }
    const script = join(import.meta.dirname, 'open-channels.ts')
    return promisify(execFile)(process.execPath, [
      ...process.execArgv.filter(isCondition),
      script,
      JSON.stringify(task),
    ])
  }
  await Promise.all([run(podIds.slice(0, EACH)), run(podIds.slice(EACH))])
  const chain = await dev.connect(0)
  const common = { voucherSigner: ZERO_ADDRESS, meter: ZERO_ADDRESS, ratePerHour: 1n, unlockDelay: 900 }
  const ids = podIds.map((podId) =>
    channelId({ payer: account.address, provider, token: dev.config.token, podId, ...common }, chain),
  )
  const states = await readChannels(chain, ids)
  assert.deepEqual(
    [...states.values()].map((state) => state?.deposited),
    Array.from({ length: 2 * EACH }, () => DEPOSIT),
  )
  assert.equal(await tokenBalance(chain, { token: dev.config.token, account: account.address }), 0n)
  const sent = await chain.public.getTransactionCount({ address: account.address })
  t.diagnostic(`${sent} transactions for ${2 * EACH} channels: ${sent - 2 * EACH} were overtaken after they were sent`)
})

/** As this process reads its own sources. */
function isCondition(flag: string): boolean {
  return flag.startsWith('--conditions') || flag.startsWith('--disable-warning')
}
