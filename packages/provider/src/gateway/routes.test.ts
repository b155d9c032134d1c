import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { Routes } from './routes.ts'

const [old, young] = ['a'.repeat(64), 'b'.repeat(64)]
const at = (podId: string, address = '192.0.2.1') => ({ address, port: 80, podId })

test('a route follows its own pod to another address and keeps its count of requests', () => {
  const routes = new Routes()
  routes.set('a.example', at(old))
  const route = routes.find('A.example:8080')
  assert.ok(route)
  route.inFlight = 3
  routes.set('A.EXAMPLE', at(old, '192.0.2.2'))
  assert.deepEqual(routes.find('a.example'), {
    target: { address: '192.0.2.2', port: 80 },
    podId: old,
    inFlight: 3,
  })
})

test('a host that another pod has is refused with QUOTE_HOST_TAKEN and stays as it was', () => {
  const routes = new Routes()
  routes.set('a.example', at(old))
  assert.throws(
    () => routes.set('a.example', at(young)),
    (error) => error instanceof TrustedPodsError && error.code === 'QUOTE_HOST_TAKEN',
  )
  assert.equal(routes.find('a.example')?.podId, old)
})

test('late calls for an ended pod touch nothing, before and after the next pod has the host', () => {
  const routes = new Routes()
  routes.set('a.example', at(old))
  routes.remove('a.example', old)
  routes.set('a.example', at(old))
  assert.equal(routes.find('a.example'), undefined)
  routes.set('a.example', at(young))
  routes.set('a.example', at(old))
  routes.remove('a.example', old)
  assert.equal(routes.find('a.example')?.podId, young)
})

test('a pod that ended before it had a route gets none; its other hosts and other pods are not meant', () => {
  const routes = new Routes()
  routes.remove('a.example', old)
  routes.set('a.example', at(old))
  assert.equal(routes.find('a.example'), undefined)
  routes.set('b.example', at(old))
  assert.equal(routes.find('b.example')?.podId, old)
})

test('what is remembered of ended pods is bounded, the oldest going first', () => {
  const routes = new Routes()
  for (let i = 0; i <= 4096; i++) routes.remove(`h${i}.example`, old)
  routes.set('h0.example', at(old))
  routes.set('h1.example', at(old))
  assert.equal(routes.find('h0.example')?.podId, old)
  assert.equal(routes.find('h1.example'), undefined)
})

test('a route that is paused is gone until it is set again; one that is removed stays gone', () => {
  const routes = new Routes()
  const target = { address: '127.0.0.1', port: 80, podId: 'a' }
  routes.set('a.example', target)
  routes.pause('a.example', 'b')
  assert.ok(routes.find('a.example'))
  routes.pause('a.example', 'a')
  assert.equal(routes.find('a.example'), undefined)
  routes.set('a.example', target)
  assert.ok(routes.find('a.example'))
  routes.remove('a.example', 'a')
  routes.set('a.example', target)
  assert.equal(routes.find('a.example'), undefined)
})
