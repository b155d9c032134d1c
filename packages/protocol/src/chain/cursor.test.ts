import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { assertRefused } from '../../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { startFaultyRpc } from '../../../../test/support/faulty-rpc.ts'
import { type Chain, connectChain } from './client.ts'
import { type Advance, advanceCursor, type ChainPosition, type CursorStore } from './cursor.ts'
import { mintTestToken } from './token.ts'

let dev: DevChain
let chain: Chain
beforeEach(async () => {
  dev = await startDevChain()
  chain = await dev.connect(0)
})
afterEach(() => dev[Symbol.asyncDispose]())

function memoryCursor(): CursorStore & { trail: readonly ChainPosition[] } {
  const store = {
    trail: [] as readonly ChainPosition[],
    load: () => store.trail,
    save: (trail: readonly ChainPosition[]) => {
      store.trail = trail
    },
  }
  return store
}

/** What one look brings; the token stands for the contract that is followed. */
async function look(store: CursorStore, node = chain): Promise<Advance | undefined> {
  let seen: Advance | undefined
  const handle = (advance: Advance) => {
    seen = advance
  }
  await advanceCursor(node, store, { address: dev.config.token, handle })
  return seen
}

/** A Transfer event, in a block of its own. */
function happen(): Promise<unknown> {
  return mintTestToken(chain, { token: dev.config.token, to: dev.config.token, amount: 1n })
}

async function reorganise(depth: number): Promise<void> {
  await dev.anvil.control.request({ method: 'anvil_reorg' as never, params: [depth, []] as never })
}

test('whoever begins has nothing to catch up with, and is then told each event once', async () => {
  const store = memoryCursor()
  await happen()
  assert.deepEqual((await look(store))?.logs, [])
  await happen()
  await happen()
  assert.equal((await look(store))?.logs.length, 2)
  assert.equal(await look(store), undefined)
})

test('after a reorganisation it goes back to the last block that is still there, and says so', async () => {
  const store = memoryCursor()
  await look(store)
  await happen()
  await look(store)
  const { number } = store.trail[0] ?? assert.fail('no position')
  await happen()
  await happen()
  await look(store)
  await reorganise(2)
  const rewound = await look(store)
  assert.deepEqual([rewound?.rewoundTo, rewound?.logs], [number, []])
  await happen()
  assert.deepEqual([(await look(store))?.logs.length, await look(store)], [1, undefined])
})

test('a reorganisation below all that it remembers is rewound well below that', async () => {
  const store = memoryCursor()
  await dev.anvil.control.mine({ blocks: 100 })
  await look(store)
  const { number } = store.trail[0] ?? assert.fail('no position')
  await reorganise(3)
  assert.equal((await look(store))?.rewoundTo, number - 65n)
})

test('whoever fails at an event is told it again, and an endpoint that fails moves nothing', async () => {
  const store = memoryCursor()
  await look(store)
  await happen()
  const failing = advanceCursor(chain, store, {
    address: dev.config.token,
    handle: () => Promise.reject(new Error('full disk')),
  })
  await assert.rejects(failing, /full disk/)
  await using faulty = await startFaultyRpc(dev.anvil.rpc)
  const other = await connectChain({ ...dev.config, rpc: [faulty.rpc] })
  faulty.fail('status-500', { method: /^eth_getLogs$/ })
  await assertRefused('CHANNEL_RPC_UNAVAILABLE', /./, () => look(store, other))
  faulty.fail('pass')
  assert.equal((await look(store, other))?.logs.length, 1)
})
