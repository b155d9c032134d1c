/** Orders of events that must not matter: an end that comes while something else is under way stays an end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import type { Connection } from '@libp2p/interface'
import { PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { memoryLog } from '../../../test/support/memory-log.ts'
import { memoryRuntime } from '../../../test/support/memory-runtime.ts'
import { Changes } from './changes.ts'
import { ImageGate } from './image-gate.ts'
import { Journal } from './journal.ts'
import { PodKeeper } from './pod-keeper.ts'
import type { ImageRef } from './runtime/pod-runtime.ts'

const CONNECTED = Object.assign(new EventTarget(), { status: 'open' }) as unknown as Connection
const STOP = { code: 'stopped-by-publisher', message: '' }
const A = 'aa'.repeat(32)
const B = 'bb'.repeat(32)

function keeperWorld() {
  const journal = new Journal(':memory:')
  const runtime = memoryRuntime()
  const metered = new Set<string>()
  const settled: string[] = []
  const opening: { during?: () => Promise<void>; forget?: () => Promise<void> } = {}
  const changes = new Changes()
  const keeper = new PodKeeper({
    journal,
    runtime,
    changes,
    log: memoryLog(),
    publisherGraceMs: 1_000,
    front: { setRoute() {}, pauseRoute() {}, removeRoute() {} },
    meter: {
      start: (podId) => void metered.add(podId),
      pause: (podId) => void metered.delete(podId),
      stop: (podId) => void metered.delete(podId),
    },
    charger: {
      requireOpen: async () => {},
      finalReceipt: async () => {},
    },
    traffic: { count: async () => {}, forget: () => {} },
    settler: { settle: async (podId) => void settled.push(podId) },
    intake: {
      fetch: async () => 0,
      hasSources: () => false,
      forget: async () => opening.forget?.(),
      open: async (podId) => {
        const image = `image-of-${podId}` as ImageRef
        runtime.images.add(image)
        await opening.during?.()
        return [image]
      },
    },
  })
  const pod = toBinary(PodSchema, create(PodSchema, { containers: [{ name: 'web' }] }))
  const insert = (podId: string) =>
    journal.insert({
      podId,
      termsPodId: podId,
      publisher: 'p',
      idempotencyKey: podId,
      requestDigest: '',
      pod,
      quote: new Uint8Array(),
      channel: new Uint8Array(),
      deposited: 1n,
      acceptedAtMs: 0,
    })
  const until = async (podId: string, phase: string) => {
    while (journal.pod(podId)?.phase !== phase)
      await changes.next(podId, { timeoutMs: 5_000, signal: AbortSignal.timeout(5_000) })
  }
  const run = async (podId: string) => {
    insert(podId)
    keeper.start(podId, CONNECTED)
    await until(podId, 'running')
  }
  return { journal, runtime, metered, settled, opening, keeper, insert, until, run }
}

test('a pod comes up, is metered, and its end removes and settles it once', async () => {
  const { journal, runtime, metered, settled, keeper, run } = keeperWorld()
  await run(A)
  assert.deepEqual([[...runtime.pods], [...metered]], [[[A, 'running']], [A]])
  await Promise.all([keeper.end(A, STOP), keeper.end(A, STOP)])
  await keeper.end(A, STOP)
  assert.deepEqual([journal.pod(A)?.phase, runtime.pods.size, metered.size, settled], ['stopped', 0, 0, [A]])
})

test('an end that comes while an exited container is looked at, or started again, is not undone', async () => {
  for (const method of ['observe', 'apply'] as const) {
    const { journal, runtime, metered, keeper, run } = keeperWorld()
    await run(A)
    runtime.pods.set(A, 'exited')
    const gate = runtime.hold(method)
    const looking = keeper.reconcile(A)
    await gate.reached
    const ending = keeper.end(A, STOP)
    gate.release()
    await Promise.all([looking, ending])
    assert.deepEqual([journal.pod(A)?.phase, runtime.pods.size, metered.size], ['stopped', 0, 0], method)
  }
})

test('an end while the pod is starting stays: a removal that fails is tried again, and the pod never counts as running', async () => {
  const { journal, runtime, metered, keeper, insert } = keeperWorld()
  insert(A)
  const gate = runtime.hold('apply')
  keeper.start(A, CONNECTED)
  await gate.reached
  runtime.fail('remove')
  const ending = keeper.end(A, STOP)
  gate.release()
  await assert.rejects(ending, /remove failed/)
  assert.deepEqual([journal.pod(A)?.phase, metered.size], ['stopping', 0])
  await keeper.end(A, STOP)
  assert.deepEqual([journal.pod(A)?.phase, runtime.pods.size], ['stopped', 0])
})

test('the images of a pod that is being opened survive the end of another', async () => {
  const { journal, runtime, opening, keeper, insert, run, until } = keeperWorld()
  await run(A)
  const { promise, resolve } = Promise.withResolvers<void>()
  opening.during = () => promise
  insert(B)
  keeper.start(B, CONNECTED)
  await until(B, 'opening')
  await keeper.end(A, STOP)
  resolve()
  await until(B, 'running')
  assert.deepEqual([journal.pod(B)?.phase, runtime.images.has(`image-of-${B}` as ImageRef)], ['running', true])
  await keeper.sweep()
  assert.deepEqual([...runtime.images], [`image-of-${B}`])
})

test('a sweep removes what is left of an ended pod, and lets live ones be', async () => {
  const { runtime, keeper, run } = keeperWorld()
  await run(A)
  await run(B)
  await keeper.end(A, STOP)
  runtime.pods.set(A, 'running')
  await keeper.sweep()
  assert.deepEqual([...runtime.pods.keys()], [B])
})

test('a pod that cannot be seen is neither metered nor ended, and goes on when it is seen again', async () => {
  const { journal, runtime, metered, keeper, run } = keeperWorld()
  await run(A)
  runtime.fail('observe')
  await assert.rejects(keeper.reconcile(A), /observe failed/)
  assert.deepEqual([journal.pod(A)?.phase, metered.size, runtime.pods.size], ['running', 0, 1])
  await keeper.reconcile(A)
  assert.deepEqual([...metered], [A])
})

test('a fault inside the provider ends the pod as failed, and its words stay in the log', async () => {
  const { journal, keeper, insert, runtime, until } = keeperWorld()
  insert(A)
  runtime.fail('apply')
  keeper.start(A, CONNECTED)
  await until(A, 'failed')
  assert.deepEqual(journal.pod(A)?.reason, {
    code: 'PROVISION_RUNTIME',
    message: 'a fault inside the provider; its log says more',
  })
})

test('while images are pruned, however often, none is opened, and none that is being opened is pruned', async () => {
  const runtime = memoryRuntime()
  const gate = new ImageGate()
  const used = new Set<ImageRef>()
  const image = 'image' as ImageRef
  let opened = 0
  const open = () =>
    gate.whileOpening(async () => {
      opened++
      runtime.images.add(image)
      await Promise.resolve()
      used.add(image)
    })
  await Promise.all([
    gate.prune(runtime, () => used),
    gate.prune(runtime, () => used),
    open(),
    gate.prune(runtime, () => used),
  ])
  await gate.prune(runtime, () => used)
  assert.deepEqual([opened, [...runtime.images]], [1, [image]])
})

test('a pod that is suspended stops, is not billed, and keeps its data; resumed it runs with it again', async () => {
  const { journal, runtime, metered, keeper, until, run, settled } = keeperWorld()
  await run(A)
  await keeper.suspend(A, 'funds-exhausted')
  assert.equal(journal.pod(A)?.phase, 'suspended')
  assert.deepEqual([runtime.pods.has(A), metered.has(A), runtime.volumes.has(A)], [false, false, true])
  await keeper.sweep()
  assert.ok(runtime.volumes.has(A))
  keeper.resume(A)
  await until(A, 'running')
  assert.deepEqual([runtime.pods.has(A), metered.has(A)], [true, true])
  assert.equal(journal.pod(A)?.suspension, undefined)
  assert.deepEqual(settled, [])
})

test('a provider that died while it suspended a pod finishes that at the next start', async () => {
  const { journal, runtime, keeper, run } = keeperWorld()
  await run(A)
  journal.advance(A, ['running'], 'suspended', { suspension: { why: 'funds-exhausted', sinceMs: 1 } })
  await keeper.recover()
  assert.deepEqual([runtime.pods.has(A), runtime.volumes.has(A)], [false, true])
  assert.equal(journal.pod(A)?.phase, 'suspended')
})

test('a suspended pod that its publisher stops is taken away with its data', async () => {
  const { journal, runtime, keeper, run, settled } = keeperWorld()
  await run(A)
  await keeper.suspend(A, 'funds-exhausted')
  await keeper.end(A, STOP)
  assert.deepEqual([journal.pod(A)?.phase, runtime.volumes.has(A), settled], ['stopped', false, [A]])
})

test('a pod is not started again while it is still being taken down', async () => {
  const { journal, runtime, keeper, until, run } = keeperWorld()
  await run(A)
  const taking = runtime.hold('remove')
  const suspended = keeper.suspend(A, 'deposit-missing')
  await taking.reached
  keeper.resume(A)
  assert.equal(journal.pod(A)?.phase, 'suspended')
  taking.release()
  await suspended
  keeper.resume(A)
  await until(A, 'running')
  assert.ok(runtime.pods.has(A))
})

test('a pod that cannot go on after a suspension is suspended again, its data kept, until it can', async () => {
  const { journal, runtime, keeper, until, run, settled } = keeperWorld()
  await run(A)
  await keeper.suspend(A, 'funds-exhausted')
  runtime.fail('apply')
  keeper.resume(A)
  assert.equal(journal.pod(A)?.phase, 'starting')
  await until(A, 'suspended')
  assert.deepEqual([runtime.volumes.has(A), settled], [true, []])
  // Not before it is down again: the next review asks anew.
  while (journal.pod(A)?.phase === 'suspended') {
    keeper.resume(A)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await until(A, 'running')
  assert.deepEqual([runtime.volumes.has(A), settled], [true, []])
})

test('a pod whose blocks cannot be freed is ended and settled all the same', async () => {
  const { journal, settled, opening, keeper, run } = keeperWorld()
  opening.forget = async () => assert.fail('the disk fails')
  await run(A)
  await keeper.end(A, STOP)
  assert.deepEqual([journal.pod(A)?.phase, settled], ['stopped', [A]])
})
