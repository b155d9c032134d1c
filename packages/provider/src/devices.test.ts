/** Devices are given out one by one: by what is free alone, and with real device nodes in real containers. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { after, test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import { QuoteSchema, SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { PaymentTermsSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import {
  ContainerSchema,
  type Pod,
  PodSchema,
  ResourceSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { podResources } from '@trusted-pods/protocol/manifest/resources.ts'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { Capacity } from './capacity.ts'
import type { Device } from './devices.ts'
import { Journal } from './journal.ts'
import { toPodSpec } from './pod-spec.ts'
import { TestRuntime, until, WAIT } from './runtime/test-runtime.ts'

const box = await TestRuntime.open()
after(() => box.close())

const CPU = { name: 'cpu', selector: '', quantity: 10_000n }
const MEMORY = { name: 'memory', selector: '', quantity: 1n << 40n }
const nvidia = (id: string, model: string): Device => ({ id, model, access: { kind: 'nvidia', id } })

/** Each container with GPUs of the models that it names; '' is any. */
function podWith(containers: Record<string, readonly string[]>): Pod {
  return create(PodSchema, {
    containers: Object.entries(containers).map(([name, models]) =>
      create(ContainerSchema, {
        name,
        command: ['sh', '-c'],
        resources: [
          create(ResourceSchema, { name: 'cpu', quantity: 250n }),
          create(ResourceSchema, { name: 'memory', quantity: 32n << 20n }),
          ...[...Map.groupBy(models, (model) => model)].map(([selector, all]) =>
            create(ResourceSchema, { name: 'nvidia.com/gpu', selector, quantity: BigInt(all.length) }),
          ),
        ],
      }),
    ),
  })
}

function openMarket(devices: readonly Device[], journal = new Journal(':memory:')) {
  const capacity = new Capacity([CPU, MEMORY], journal, devices)
  /** As a provision request does, without its payment. */
  const admit = (pod: Pod) => {
    const podId = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex')
    const resources = podResources(pod)
    capacity.admit({ quoteId: podId, publisher: podId, resources, httpHosts: [] }, 0)
    const quote = create(QuoteSchema, {
      resources,
      pricing: create(PricingTableSchema),
      payment: create(PaymentTermsSchema),
    })
    journal.insert({
      podId,
      termsPodId: podId,
      publisher: 'p',
      idempotencyKey: podId,
      requestDigest: '',
      pod: toBinary(PodSchema, pod),
      quote: toBinary(SignedQuoteSchema, create(SignedQuoteSchema, { quote: toBinary(QuoteSchema, quote) })),
      channel: new Uint8Array(),
      deposited: 1n,
      acceptedAtMs: 0,
      devices: capacity.devicesFor(pod),
    })
    return podId
  }
  const given = (podId: string) => (journal.pod(podId)?.devices ?? []).map(({ container, id }) => `${container} ${id}`)
  const freeGpus = () =>
    capacity
      .free(0)
      .filter(({ name }) => name === 'nvidia.com/gpu')
      .map(({ selector, quantity }) => `${selector} ${quantity}`)
  return { journal, capacity, admit, given, freeGpus }
}

test('each GPU is one pod’s until that pod has ended, also for a provider that was started again', async () => {
  const devices = [nvidia('a', 'H100'), nvidia('b', 'H100'), nvidia('c', 'A10')]
  const { journal, admit, given, freeGpus } = openMarket(devices)
  assert.deepEqual(freeGpus(), ['H100 2', 'A10 1'])
  const first = admit(podWith({ train: ['H100'], serve: ['A10'] }))
  assert.deepEqual(given(first), ['train a', 'serve c'])
  const again = openMarket(devices, journal)
  assert.deepEqual(again.freeGpus(), ['H100 1', 'A10 0'])
  const second = again.admit(podWith({ x: ['H100'] }))
  assert.deepEqual(again.given(second), ['x b'])
  const refuse = (models: string[], message: RegExp) =>
    assertRefused('QUOTE_NO_CAPACITY', message, async () => again.admit(podWith({ x: models })))
  await refuse(['H100'], /1 of nvidia.com\/gpu \(H100\) asked, 0 free/)
  await refuse([''], /asked, 0 free/)
  journal.change(first, { phase: 'stopped' })
  assert.deepEqual(again.given(again.admit(podWith({ x: ['A10', 'H100'] }))), ['x c', 'x a'])
})

test('a GPU of any model is taken from where most are free, beside what quotes hold by name', async () => {
  const devices = [nvidia('a', 'A10'), nvidia('b', 'H100'), nvidia('c', 'H100')]
  const { capacity, admit, given, freeGpus } = openMarket(devices)
  const any = admit(podWith({ x: [''] }))
  assert.deepEqual(given(any), ['x b'])
  assert.deepEqual(freeGpus(), ['A10 1', 'H100 1'])
  const held = [create(ResourceSchema, { name: 'nvidia.com/gpu', selector: 'A10', quantity: 1n })]
  const hold = { quoteId: 'q', publisher: 'p', resources: held, httpHosts: [], address: '192.0.2.1', expiresAtMs: 9 }
  assert.equal(capacity.hold(hold, 0), true)
  assert.deepEqual(given(admit(podWith({ x: [''] }))), ['x c'])
  await assertRefused('QUOTE_NO_CAPACITY', /asked, 0 free/, async () => admit(podWith({ x: [''] })))
})

test('what a GPU of any model was given no longer counts as free of its model', async () => {
  const { admit, given } = openMarket([nvidia('a', 'A10'), nvidia('b', 'H100')])
  const [model = ''] = given(admit(podWith({ x: [''] })))
  const gone = model === 'x a' ? 'A10' : 'H100'
  await assertRefused('QUOTE_NO_CAPACITY', /asked, 0 free/, async () => admit(podWith({ x: [gone] })))
})

test('a device that the configuration names anew stays with the pod that has it', async () => {
  const card = (id: string, model: string, path: string): Device => ({
    id,
    model,
    access: { kind: 'nodes', paths: [path, `${path}-render`], control: ['/dev/kfd'] },
  })
  const { journal, admit } = openMarket([nvidia('0', 'H100'), card('card', 'MI300', '/dev/dri/a')])
  admit(podWith({ x: ['H100', 'MI300'] }))
  const renamed: Device[] = [
    { ...nvidia('0', 'H200'), id: 'left' },
    nvidia('1', 'H200'),
    card('first', 'MI250', '/dev/dri/a'),
    card('second', 'MI250', '/dev/dri/b'),
  ]
  const again = openMarket(renamed, journal)
  assert.deepEqual(again.given(again.admit(podWith({ x: ['H200', 'MI250'] }))), ['x 1', 'x second'])
})

/** Nodes of the kernel's own character devices 1:5 (zero) and 1:7 (full), which anybody can tell apart by reading and writing. */
function makeNodes() {
  const folder = `/dev/tpod-test-${process.pid}`
  mkdirSync(folder)
  for (const [name, minor] of [
    ['zero', '5'],
    ['full', '7'],
  ] as const)
    execFileSync('mknod', ['-m', '666', `${folder}/${name}`, 'c', '1', minor])
  const device = (name: string, model: string): Device => ({
    id: name,
    model,
    access: { kind: 'nodes', paths: [`${folder}/${name}`], control: ['/dev/null'] },
  })
  return {
    folder,
    devices: [device('zero', 'reader'), device('full', 'writer')],
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  }
}

test('a pod has the nodes of its own device and no others, and the next pod has them once it has ended', {
  skip: box.skip,
}, async (t) => {
  using nodes = makeNodes()
  const { journal, admit } = openMarket(nodes.devices)
  const { folder } = nodes
  const look = `for d in zero full; do [ -c ${folder}/$d ] && echo has $d; done; cat ${folder}/zero 2>/dev/null | { read -n 1 x && echo read; }; echo x > ${folder}/full || echo refused; echo done; ${WAIT}`
  const run = async (pod: Pod) => {
    for (const container of pod.containers) container.args = [look]
    const podId = admit(pod)
    t.after(() => box.runtime.remove(podId, { volumes: true }))
    const row = journal.pod(podId) ?? assert.fail('no pod')
    await box.runtime.apply(toPodSpec(pod, { ...row, images: pod.containers.map(() => box.image) }))
    return podId
  }
  const has = async (podId: string, container: string) =>
    (await until(async () => [await box.said(podId, container)].find((all) => all.includes('done'))))
      .split('\n')
      .filter((line) => line.startsWith('has'))
      .map((line) => line.trim())
  const first = await run(podWith({ one: ['reader'], two: [] }))
  assert.deepEqual(await has(first, 'one'), ['has zero'])
  assert.deepEqual(await has(first, 'two'), [])
  const second = await run(podWith({ one: [''] }))
  assert.deepEqual(await has(second, 'one'), ['has full'])
  await box.runtime.remove(first, { volumes: true })
  journal.change(first, { phase: 'stopped' })
  assert.deepEqual(await has(await run(podWith({ one: ['reader'] })), 'one'), ['has zero'])
})
