/** A pod that runs out of funds, in a real engine and on a real chain: its data stays, and it goes on where it was. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import type { Connection } from '@libp2p/interface'
import { listVolumes } from '@trusted-pods/platform/engine/volumes.ts'
import { topUp } from '@trusted-pods/protocol/chain/escrow.ts'
import {
  PodSchema,
  ResourceSchema,
  VolumeMountSchema,
  VolumeType,
} from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { DEPOSIT, openPaidPods } from '../../../test/support/paid-pods.ts'
import { PodKeeper } from './pod-keeper.ts'
import { POD_LABEL } from './runtime/pod-names.ts'
import { busyboxImage, TestRuntime, until, WAIT } from './runtime/test-runtime.ts'
import { TrafficMeter } from './traffic-meter.ts'

/** Imported each time: what no pod uses any more is removed. */
const INTAKE = {
  fetch: async () => 0,
  hasSources: () => false,
  forget: async () => {},
  open: async () => [await box.runtime.importImage(await busyboxImage())],
}
const CONNECTED = Object.assign(new EventTarget(), { status: 'open' }) as unknown as Connection
/** Each start adds a line to the volume, and tells all of them. */
const SCRIPT = `echo start >> /data/starts; cat /data/starts; ${WAIT}`
const POD = toBinary(
  PodSchema,
  create(PodSchema, {
    containers: [
      {
        name: 'web',
        command: ['sh', '-c'],
        args: [SCRIPT],
        mounts: [create(VolumeMountSchema, { volume: 0, mountPath: '/data' })],
        resources: [
          create(ResourceSchema, { name: 'cpu', quantity: 250n }),
          create(ResourceSchema, { name: 'memory', quantity: 32n << 20n }),
        ],
      },
    ],
    volumes: [{ type: VolumeType.VOLUME, storageBytes: 4n << 20n }],
  }),
)

const box = await TestRuntime.open()
after(() => box.close())
let dev: DevChain
before(async () => {
  dev = await startDevChain()
  await dev.mint(0, 10n * DEPOSIT)
})
after(() => dev[Symbol.asyncDispose]())

async function openProvider() {
  const payer = await dev.connect(0)
  const money = openPaidPods(dev, { chain: await dev.connect(1), payer, fundsGraceMs: 0 })
  const keeper = new PodKeeper({
    ...money,
    runtime: box.runtime,
    publisherGraceMs: 1_000,
    front: { setRoute() {}, pauseRoute() {}, removeRoute() {} },
    traffic: new TrafficMeter({ ...money, runtime: box.runtime }),
    intake: INTAKE,
  })
  return { ...money, payer, keeper }
}

test('a pod without funds is taken down and keeps its volume; after a top-up it goes on with it, and its end takes all', {
  skip: box.skip,
}, async () => {
  const { payer, journal, meter, keeper, startPod, pass, round } = await openProvider()
  const { podId, terms, state } = await startPod({ pod: POD })
  const phase = () => journal.pod(podId)?.phase
  const starts = async () => (await box.said(podId, 'web')).split('\n').filter((line) => line === 'start').length
  const volumes = () => listVolumes(box.engine, { [POD_LABEL]: podId })
  keeper.start(podId, CONNECTED)
  await until(async () => phase() === 'running' && (await starts()) === 1)

  await pass(3_000)
  const verdict = await round(podId)
  assert.deepEqual(verdict, { kind: 'suspend', why: 'funds-exhausted' })
  await keeper.suspend(podId, 'funds-exhausted')
  assert.deepEqual([phase(), await box.idsOf(podId), (await volumes()).length], ['suspended', [], 1])
  assert.equal((await state()).claimed, DEPOSIT)

  // Nothing is counted while it waits, and without funds nothing changes.
  const seconds = meter.runningSeconds(podId)
  await pass(500)
  assert.equal(meter.runningSeconds(podId), seconds)
  assert.deepEqual(await round(podId), { kind: 'go-on' })
  await keeper.sweep()
  assert.equal((await volumes()).length, 1)

  await topUp(payer, terms, { deposit: DEPOSIT })
  assert.deepEqual(await round(podId), { kind: 'resume' })
  keeper.resume(podId)
  await until(async () => phase() === 'running' && (await starts()) === 2)
  assert.deepEqual(await round(podId), { kind: 'go-on' })

  await pass(10)
  await keeper.end(podId, { code: 'stopped-by-publisher', message: '' })
  assert.deepEqual([phase(), await box.idsOf(podId), await volumes()], ['stopped', [], []])
  const { claimed, closed } = await state()
  assert.equal(closed, true)
  // The time of the grace too, now that there are funds for it.
  assert.equal(claimed, 36n * 3_010n)
  await keeper.close()
})

test('a provider that is killed while a pod is suspended finds it suspended, with its data, and lets it go on', {
  skip: box.skip,
}, async (t) => {
  const first = await openProvider()
  const { podId, terms } = await first.startPod({ pod: POD })
  t.after(() => box.runtime.remove(podId, { volumes: true }))
  first.keeper.start(podId, CONNECTED)
  await until(
    async () => first.journal.pod(podId)?.phase === 'running' && (await box.said(podId, 'web')).includes('start'),
  )
  await first.pass(3_000)
  await first.round(podId)
  await first.keeper.suspend(podId, 'funds-exhausted')
  await first.keeper.close()

  // The next process has the same journal, and an engine that was killed too.
  await box.kill()
  await box.reopen()
  const traffic = new TrafficMeter({ ...first, runtime: box.runtime })
  const keeper = new PodKeeper({
    ...first,
    runtime: box.runtime,
    publisherGraceMs: 1_000,
    front: { setRoute() {}, pauseRoute() {}, removeRoute() {} },
    traffic,
    intake: INTAKE,
  })
  t.after(() => keeper.close())
  await keeper.recover()
  assert.deepEqual([first.journal.pod(podId)?.phase, await box.idsOf(podId)], ['suspended', []])
  await topUp(first.payer, terms, { deposit: DEPOSIT })
  assert.deepEqual(await first.round(podId), { kind: 'resume' })
  keeper.resume(podId)
  await until(async () => (await box.said(podId, 'web').catch(() => '')).match(/start/g)?.length === 2)
})
