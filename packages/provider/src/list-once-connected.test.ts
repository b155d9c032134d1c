import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { memoryLog } from '../../../test/support/memory-log.ts'
import { listOnceConnected } from './list-once-connected.ts'

const CHAIN = {} as Chain

/** A chain that comes when it is told to. */
function lateLink() {
  const { promise, resolve } = Promise.withResolvers<Chain>()
  let isConnected = false
  return {
    connected: promise,
    get isConnected() {
      return isConnected
    },
    connect() {
      isConnected = true
      resolve(CHAIN)
    },
  }
}

function listed() {
  const seen = { ended: 0, [Symbol.asyncDispose]: async () => void seen.ended++ }
  return seen
}

test('with a chain that is there a listing that fails is told to whoever starts the provider', async () => {
  const link = lateLink()
  link.connect()
  await assert.rejects(
    listOnceConnected(link, () => Promise.reject(new Error('no room')), memoryLog()),
    /no room/,
  )
})

test('a listing that fails once the chain came late is told to the log, and no rejection is left behind', async (t) => {
  const left: unknown[] = []
  const keep = (reason: unknown) => left.push(reason)
  process.on('unhandledRejection', keep)
  t.after(() => process.off('unhandledRejection', keep))
  const [link, log] = [lateLink(), memoryLog()]
  const listing = await listOnceConnected(link, () => Promise.reject(new Error('no room')), log)
  link.connect()
  await new Promise((resolve) => setImmediate(resolve))
  await listing[Symbol.asyncDispose]()
  assert.deepEqual(
    log.entries.map(({ level, fields }) => [level, fields.reason]),
    [['error', 'Error: no room']],
  )
  assert.deepEqual(left, [])
})

test('what was listed ends with the provider; one that never found its chain stops at once', async () => {
  const [link, one] = [lateLink(), listed()]
  const listing = await listOnceConnected(link, async () => one, memoryLog())
  link.connect()
  await new Promise((resolve) => setImmediate(resolve))
  await listing[Symbol.asyncDispose]()
  assert.equal(one.ended, 1)
  const never = await listOnceConnected(lateLink(), async () => one, memoryLog())
  await never[Symbol.asyncDispose]()
  assert.equal(one.ended, 1)
})

test('a provider that stops while it is being listed leaves no listing behind', async () => {
  const [link, one] = [lateLink(), listed()]
  const { promise, resolve } = Promise.withResolvers<typeof one>()
  const listing = await listOnceConnected(link, () => promise, memoryLog())
  link.connect()
  await new Promise((next) => setImmediate(next))
  await listing[Symbol.asyncDispose]()
  resolve(one)
  await new Promise((next) => setImmediate(next))
  assert.equal(one.ended, 1)
})
