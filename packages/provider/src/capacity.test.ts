import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import { QuoteSchema, SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { type Resource, ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { Capacity } from './capacity.ts'
import { Journal } from './journal.ts'

const cpu = (quantity: bigint): Resource[] => [create(ResourceSchema, { name: 'cpu', quantity })]
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
  const capacity = new Capacity(new Map([['cpu', 1000n]]), journal)
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
  const capacity = new Capacity(new Map([['cpu', 1000n]]), journalWith([]))
  capacity.hold(hold('a', 800n), 0)
  assert.throws(() => capacity.hold(hold('b', 300n, { publisher: 'q' }), 0), {
    code: 'QUOTE_NO_CAPACITY',
    message: '300 of cpu asked, 200 free',
  })
  capacity.hold(hold('b', 300n, { publisher: 'q' }), 100)
})

test('a publisher holds with one quote at a time, and an address with two', () => {
  const capacity = new Capacity(new Map([['cpu', 1000n]]), journalWith([]))
  for (const publisher of ['p', 'q', 'r']) capacity.hold(hold(publisher, 100n, { publisher, address: 'a' }), 0)
  assert.deepEqual(
    capacity.free(0).map(({ quantity }) => quantity),
    [800n],
  )
})

test('who renews a quote for the whole machine, or lets it end, holds nothing for ten minutes, and others get in', () => {
  const capacity = new Capacity(new Map([['cpu', 1000n]]), journalWith([]))
  capacity.hold(hold('a', 1000n), 0)
  capacity.hold(hold('b', 1000n, { expiresAtMs: 10_000 }), 50)
  assert.deepEqual(
    capacity.free(60).map(({ quantity }) => quantity),
    [1000n],
  )
  capacity.hold(hold('c', 1000n, { publisher: 'honest', expiresAtMs: 200 }), 70)
  assert.throws(() => capacity.hold(hold('d', 1n), 80), { code: 'QUOTE_NO_CAPACITY' })
  capacity.hold(hold('e', 1000n, { publisher: 'other', expiresAtMs: 10_000 }), 300)
  assert.throws(() => capacity.hold(hold('f', 1000n, { publisher: 'honest' }), 310), { code: 'QUOTE_NO_CAPACITY' })
})

test('admitting takes the hold’s place; a lost hold is checked anew', () => {
  const journal = journalWith([])
  const capacity = new Capacity(new Map([['cpu', 1000n]]), journal)
  capacity.hold(hold('a', 800n), 0)
  capacity.admit(hold('a', 800n), 0)
  capacity.hold(hold('b', 900n, { publisher: 'q' }), 0)
  assert.throws(() => capacity.admit(hold('a', 800n), 0), { code: 'QUOTE_NO_CAPACITY' })
})

test('a resource that is not offered is QUOTE_UNKNOWN_RESOURCE', () => {
  const capacity = new Capacity(new Map([['memory', 1000n]]), journalWith([]))
  assert.throws(() => capacity.hold(hold('a', 1n), 0), { code: 'QUOTE_UNKNOWN_RESOURCE' })
})

test('a host name of a live pod, or held by another publisher, is QUOTE_HOST_TAKEN; one’s own hold is no obstacle', () => {
  const journal = journalWith([{ resources: cpu(1n), httpHosts: ['taken.localhost'] }])
  const capacity = new Capacity(new Map([['cpu', 1000n]]), journal)
  assert.throws(() => capacity.hold(hold('a', 1n, { httpHosts: ['taken.localhost'] }), 0), { code: 'QUOTE_HOST_TAKEN' })
  capacity.hold(hold('a', 1n, { httpHosts: ['mine.localhost'] }), 0)
  const theirs = hold('c', 1n, { publisher: 'q', httpHosts: ['mine.localhost'] })
  assert.throws(() => capacity.hold(theirs, 0), { code: 'QUOTE_HOST_TAKEN' })
  capacity.hold(hold('b', 1n, { httpHosts: ['mine.localhost'] }), 0)
})
