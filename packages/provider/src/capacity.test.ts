import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import { QuoteSchema, SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { type Resource, ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { Capacity } from './capacity.ts'
import { Journal } from './journal.ts'

const amount = (name: string, quantity: bigint, selector = ''): Resource =>
  create(ResourceSchema, { name, quantity, selector })
const cpu = (quantity: bigint): Resource[] => [amount('cpu', quantity)]
const quote = (resources: Resource[], httpHosts: string[] = []) =>
  toBinary(
    SignedQuoteSchema,
    create(SignedQuoteSchema, {
      quote: toBinary(QuoteSchema, create(QuoteSchema, { resources, httpHosts, pricing: {}, payment: {} })),
    }),
  )

function journalWith(pods: { resources: Resource[]; httpHosts?: string[]; phase?: 'running' | 'stopped' }[]): Journal {
  const journal = new Journal(':memory:')
  for (const [i, { resources, httpHosts = [], phase = 'running' }] of pods.entries()) {
    const podId = `${i}`.repeat(64)
    journal.insert({
      podId,
      publisher: 'p',
      idempotencyKey: `${i}`,
      requestDigest: '',
      quote: quote(resources, httpHosts),
      termsPodId: podId,
      channel: new Uint8Array(),
      deposited: 1n,
      acceptedAtMs: 0,
    })
    journal.change(podId, { phase })
  }
  return journal
}

const hold = (
  quoteId: string,
  quantity: bigint,
  fields: { publisher?: string; address?: string; httpHosts?: string[]; expiresAtMs?: number } = {},
) => ({
  quoteId,
  publisher: 'p',
  address: fields.publisher ?? 'p',
  resources: cpu(quantity),
  httpHosts: [],
  expiresAtMs: 100,
  ...fields,
})

test('free is the total less live pods less unexpired holds; ended pods and ended holds count no more', () => {
  const journal = journalWith([{ resources: cpu(300n) }, { resources: cpu(500n), phase: 'stopped' }])
  const capacity = new Capacity(cpu(1000n), journal)
  capacity.hold(hold('a', 200n), 0)
  assert.deepEqual(
    capacity.free(50).map(({ quantity }) => quantity),
    [500n],
  )
  assert.deepEqual(
    capacity.free(100).map(({ quantity }) => quantity),
    [700n],
  )
})

test('two buyers do not get the same place: the second is refused until the hold ends', () => {
  const capacity = new Capacity(cpu(1000n), journalWith([]))
  assert.equal(capacity.hold(hold('a', 500n), 0), true)
  assert.throws(() => capacity.hold(hold('b', 600n, { publisher: 'q' }), 0), {
    code: 'QUOTE_NO_CAPACITY',
    message: '600 of cpu asked, 500 free',
  })
  capacity.hold(hold('b', 600n, { publisher: 'q' }), 100)
})

test('from however many addresses, holds keep no more than half of what no live pod has; further quotes are not held', () => {
  const capacity = new Capacity(cpu(1000n), journalWith([{ resources: cpu(200n) }]))
  const held = [...'abcdefghijkl'].map((publisher) => capacity.hold(hold(publisher, 100n, { publisher }), 0))
  assert.equal(held.filter((one) => one).length, 4)
  assert.deepEqual(held.slice(0, 5), [true, true, true, true, false])
  assert.equal(capacity.free(0)[0]?.quantity, 400n)
  assert.equal(capacity.hold(hold('m', 400n, { publisher: 'm' }), 0), false)
  capacity.admit({ ...hold('m', 400n), publisher: 'm' }, 0)
})

test('a quote for the whole machine is given and not held; of a thing that there is once, the one may be', () => {
  const capacity = new Capacity([amount('cpu', 1000n), amount('trustedpods/ip', 1n)], journalWith([]))
  assert.equal(capacity.hold(hold('a', 1000n), 0), false)
  assert.equal(capacity.free(0)[0]?.quantity, 1000n)
  const ip = { ...hold('b', 1n, { publisher: 'q' }), resources: [amount('trustedpods/ip', 1n)] }
  assert.equal(capacity.hold(ip, 0), true)
})

test('a model is taken from its own line, and no model from any of them', () => {
  const pools = [amount('cpu', 1000n, 'EPYC-9654'), amount('cpu', 500n, 'Xeon-8490H')]
  const capacity = new Capacity(pools, journalWith([{ resources: [amount('cpu', 400n, 'EPYC-9654')] }]))
  const ask = (quoteId: string, ...resources: Resource[]) =>
    capacity.hold({ ...hold(quoteId, 1n, { publisher: quoteId }), resources }, 0)
  assert.deepEqual(
    capacity.free(0).map(({ selector, quantity }) => [selector, quantity]),
    [
      ['EPYC-9654', 600n],
      ['Xeon-8490H', 500n],
    ],
  )
  assert.throws(() => ask('a', amount('cpu', 601n, 'EPYC-9654')), {
    code: 'QUOTE_NO_CAPACITY',
    message: '601 of cpu (EPYC-9654) asked, 600 free',
  })
  assert.throws(() => ask('b', amount('cpu', 1n, 'M4')), {
    code: 'QUOTE_UNKNOWN_RESOURCE',
    message: 'cpu (M4) is not offered here; offered are EPYC-9654, Xeon-8490H',
  })
  assert.throws(() => ask('c', amount('cpu', 1101n)), { code: 'QUOTE_NO_CAPACITY' })
  assert.throws(() => ask('d', amount('cpu', 600n, 'EPYC-9654'), amount('cpu', 501n)), { code: 'QUOTE_NO_CAPACITY' })
  assert.equal(ask('e', amount('cpu', 200n, 'EPYC-9654'), amount('cpu', 300n)), true)
})

test('a publisher holds with one quote at a time, and an address with two', () => {
  const capacity = new Capacity(cpu(1000n), journalWith([]))
  for (const publisher of ['p', 'q', 'r']) capacity.hold(hold(publisher, 100n, { publisher, address: 'a' }), 0)
  assert.deepEqual(
    capacity.free(0).map(({ quantity }) => quantity),
    [800n],
  )
})

test('who renews a quote, or lets it end, holds nothing for ten minutes, and others get in', () => {
  const capacity = new Capacity(cpu(1000n), journalWith([]))
  assert.equal(capacity.hold(hold('a', 500n), 0), true)
  assert.equal(capacity.hold(hold('b', 500n, { expiresAtMs: 10_000 }), 50), false)
  assert.equal(capacity.free(60)[0]?.quantity, 1000n)
  assert.equal(capacity.hold(hold('c', 500n, { publisher: 'honest', expiresAtMs: 200 }), 70), true)
  assert.throws(() => capacity.hold(hold('d', 501n), 80), { code: 'QUOTE_NO_CAPACITY' })
  assert.equal(capacity.hold(hold('e', 500n, { publisher: 'other', expiresAtMs: 10_000 }), 300), true)
  assert.throws(() => capacity.hold(hold('f', 501n, { publisher: 'honest' }), 310), { code: 'QUOTE_NO_CAPACITY' })
})

test('admitting takes the hold’s place; a lost hold is checked anew', () => {
  const capacity = new Capacity(cpu(1000n), journalWith([]))
  capacity.hold(hold('a', 500n), 0)
  capacity.admit(hold('a', 500n), 0)
  capacity.hold(hold('b', 500n, { publisher: 'q' }), 0)
  assert.throws(() => capacity.admit(hold('a', 600n), 0), { code: 'QUOTE_NO_CAPACITY' })
})

test('a place that is looked at stays held, and a place that others hold is refused', () => {
  const capacity = new Capacity(cpu(1000n), journalWith([]))
  const mine = hold('a', 400n)
  assert.equal(capacity.hold(mine, 0), true)
  capacity.requirePlace(mine, 1)
  assert.deepEqual(
    capacity.free(1).map(({ quantity }) => quantity),
    [600n],
  )
  assert.throws(() => capacity.requirePlace(hold('b', 700n), 1), { code: 'QUOTE_NO_CAPACITY' })
})

test('a resource that is not offered is QUOTE_UNKNOWN_RESOURCE', () => {
  const capacity = new Capacity([amount('memory', 1000n)], journalWith([]))
  assert.throws(() => capacity.hold(hold('a', 1n), 0), { code: 'QUOTE_UNKNOWN_RESOURCE' })
})

test('a host name of a live pod, or held by another publisher, is QUOTE_HOST_TAKEN; one’s own hold is no obstacle', () => {
  const journal = journalWith([{ resources: cpu(1n), httpHosts: ['taken.localhost'] }])
  const capacity = new Capacity(cpu(1000n), journal)
  assert.throws(() => capacity.hold(hold('a', 1n, { httpHosts: ['taken.localhost'] }), 0), { code: 'QUOTE_HOST_TAKEN' })
  capacity.hold(hold('a', 1n, { httpHosts: ['mine.localhost'] }), 0)
  const theirs = hold('c', 1n, { publisher: 'q', httpHosts: ['mine.localhost'] })
  assert.throws(() => capacity.hold(theirs, 0), { code: 'QUOTE_HOST_TAKEN' })
  capacity.hold(hold('b', 1n, { httpHosts: ['mine.localhost'] }), 0)
})
