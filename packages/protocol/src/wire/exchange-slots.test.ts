import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExchangeSlots } from './exchange-slots.ts'
import { EXCHANGES_PER_PEER, EXCHANGES_PER_PROTOCOL, UNREAD_BYTES, UNREAD_STREAMS } from './protocols.ts'

const LIMITS = { id: '/trusted-pods/test/0.0.1', requestBytes: 1024 }
const BUSY = { code: 'WIRE_BUSY' }

function begin(slots: ExchangeSlots, peer: string) {
  const slot = slots.open(peer)
  slot.begin()
  return slot
}

test('one peer has its share of the places, and another one the rest', () => {
  const slots = new ExchangeSlots(LIMITS)
  const held = Array.from({ length: EXCHANGES_PER_PEER }, () => begin(slots, 'greedy'))
  assert.throws(() => begin(slots, 'greedy'), BUSY)
  begin(slots, 'other')
  held[0]?.[Symbol.dispose]()
  begin(slots, 'greedy')
})

test('all peers together have the places of the protocol, and each place comes back once', () => {
  const slots = new ExchangeSlots(LIMITS)
  const held = Array.from({ length: EXCHANGES_PER_PROTOCOL }, (_, i) => begin(slots, `peer ${i}`))
  assert.throws(() => begin(slots, 'late'), BUSY)
  held[0]?.[Symbol.dispose]()
  held[0]?.[Symbol.dispose]()
  begin(slots, 'late')
  assert.throws(() => begin(slots, 'later'), BUSY)
})

test('a protocol may have places of its own number', () => {
  const slots = new ExchangeSlots({ ...LIMITS, concurrent: { total: 3, perPeer: 2 } })
  begin(slots, 'a')
  begin(slots, 'a')
  assert.throws(() => begin(slots, 'a'), BUSY)
  begin(slots, 'b')
  assert.throws(() => begin(slots, 'c'), BUSY)
})

test('streams without a request take no place, and one that was refused gives none back', () => {
  const slots = new ExchangeSlots({ ...LIMITS, concurrent: { total: 1, perPeer: 1 } })
  for (let i = 0; i < 10; i++) slots.open(`silent ${i}`)
  const held = begin(slots, 'a')
  const refused = slots.open('b')
  assert.throws(() => refused.begin(), BUSY)
  refused[Symbol.dispose]()
  assert.throws(() => begin(slots, 'c'), BUSY)
  held[Symbol.dispose]()
  begin(slots, 'c')
})

test('past the bound on silent streams the oldest of the peer with the most makes way', () => {
  const slots = new ExchangeSlots(LIMITS)
  const honest = slots.open('honest')
  const silent = Array.from({ length: UNREAD_STREAMS - 1 }, (_, i) => slots.open(i % 2 ? 'a' : 'b'))
  assert.ok(silent.every(({ signal }) => !signal.aborted))
  slots.open('c')
  assert.equal(silent[0]?.signal.reason?.code, 'WIRE_BUSY')
  assert.equal(silent.filter(({ signal }) => signal.aborted).length, 1)
  for (let i = 0; i < 10 * UNREAD_STREAMS; i++) slots.open('a')
  assert.equal(honest.signal.aborted, false)
})

test('of peers with one silent stream each the oldest makes way, and a stream that was read or is gone never does', () => {
  const slots = new ExchangeSlots({ ...LIMITS, requestBytes: UNREAD_BYTES / 2 })
  const read = begin(slots, 'a')
  slots.open('gone')[Symbol.dispose]()
  const [first, second] = [slots.open('b'), slots.open('c')]
  assert.equal(first.signal.aborted, false)
  slots.open('d')
  assert.deepEqual(
    [read, first, second].map(({ signal }) => signal.aborted),
    [false, true, false],
  )
})
