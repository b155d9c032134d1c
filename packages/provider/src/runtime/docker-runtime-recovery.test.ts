import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { after, test } from 'node:test'
import { listContainers } from '@trusted-pods/platform/engine/containers.ts'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { listNetworks } from '@trusted-pods/platform/engine/networks.ts'
import { listVolumes } from '@trusted-pods/platform/engine/volumes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { openDockerRuntime } from './docker-runtime.ts'
import { infraName, OWNER_LABEL } from './pod-names.ts'
import type { PodSpec } from './pod-runtime.ts'
import { busyboxImage, log, podOf, refused, TestRuntime, until, WAIT } from './test-runtime.ts'

const box = await TestRuntime.open()
after(() => box.close())

test('apply is idempotent, and a new runtime finds what an earlier one made', { skip: box.skip }, async (t) => {
  const pod = podOf([box.container('one', WAIT), box.container('two', WAIT)], [{ kind: 'empty-dir', sizeBytes: 0n }])
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  const first = await box.runtime.apply(pod)
  const before = await box.idsOf(pod.podId)
  assert.equal(before.length, 3)
  assert.deepEqual(await box.runtime.apply(pod), first)
  await using other = await openDockerRuntime(box.engine, { owner: box.owner, log })
  assert.deepEqual(await other.observe(pod.podId), first)
  assert.ok((await other.list()).some(({ podId }) => podId === pod.podId))
  assert.deepEqual(await Promise.all([other.apply(pod), box.runtime.apply(pod)]), [first, first])
  assert.deepEqual(await box.idsOf(pod.podId), before)
})

test('remove leaves nothing, is safe to repeat, and keeps another owner’s pod', { skip: box.skip }, async () => {
  await using other = await openDockerRuntime(box.engine, { owner: `${box.owner}-b`, log })
  const foreign = podOf([box.container('x', WAIT, { image: await other.importImage(await busyboxImage()) })])
  await other.apply(foreign)
  const pod = podOf(
    [box.container('x', WAIT)],
    [
      { kind: 'volume', sizeBytes: 1n },
      { kind: 'secret', sizeBytes: 0n, secret: Buffer.from('x') },
    ],
  )
  await box.runtime.apply(pod)
  await box.runtime.remove(pod.podId, { volumes: true })
  await box.runtime.remove(pod.podId, { volumes: true })
  assert.equal(await box.runtime.observe(pod.podId), undefined)
  await box.runtime.remove(foreign.podId, { volumes: true })
  assert.equal((await other.observe(foreign.podId))?.containers[0]?.state, 'running')
  assert.equal(await box.runtime.observe(foreign.podId), undefined)
  await other.remove(foreign.podId, { volumes: true })
  await other.pruneImages(new Set())
  const labels = { [OWNER_LABEL]: `${box.owner}-b` }
  const left = await Promise.all([
    listContainers(box.engine, labels),
    listNetworks(box.engine, labels),
    listVolumes(box.engine, labels),
  ])
  assert.deepEqual(left, [[], [], []])
  for (const { podId } of [pod, foreign]) {
    assert.ok(!Object.keys(networkInterfaces()).includes(`tp-${podId.slice(0, 8)}`))
    assert.ok(!(await readFile('/proc/net/dev', 'utf8')).includes(`tp-${podId.slice(0, 8)}`))
  }
  const cgroups = await readdir('/sys/fs/cgroup', { recursive: true })
  assert.deepEqual(
    cgroups.filter((path) => path.includes(pod.podId.slice(0, 16)) || path.includes(`${box.owner}-b`)),
    [],
  )
})

test('a volume outlives its pod where that is asked; an empty-dir does not', { skip: box.skip }, async (t) => {
  const mounts = [0, 1].map((volume) => ({ volume, mountPath: `/v${volume}`, readOnly: false }))
  const pod = podOf(
    [box.container('x', `cat /v0/f /v1/f; echo kept > /v0/f; echo kept > /v1/f; ${WAIT}`, { mounts })],
    [
      { kind: 'volume', sizeBytes: 1n },
      { kind: 'empty-dir', sizeBytes: 1n },
    ],
  )
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await box.runtime.apply(pod)
  await until(async () => (await box.allLogs(pod.podId)).length === 2)
  await box.runtime.remove(pod.podId, { volumes: false })
  assert.deepEqual((await box.runtime.observe(pod.podId))?.containers, [])
  await box.runtime.apply(pod)
  await until(async () => (await box.allLogs(pod.podId)).length === 2)
  assert.equal(await box.said(pod.podId, 'x'), 'kept')
})

test('the address of a pod that ended goes to nobody while others are free', { skip: box.skip }, async (t) => {
  const [old, young] = [podOf([box.container('x', WAIT)]), podOf([box.container('x', WAIT)])]
  // The same place to start from, as two pod ids may have.
  const next = { ...young, podId: old.podId.slice(0, 8) + young.podId.slice(8) }
  t.after(() => box.runtime.remove(next.podId, { volumes: true }))
  const { address } = await box.runtime.apply(old)
  await box.runtime.remove(old.podId, { volumes: true })
  const { address: nextAddress } = await box.runtime.apply(next)
  assert.ok(address && nextAddress)
  assert.notEqual(nextAddress, address)
})

test('an apply that was killed after any of its steps is completed by the next, once', {
  skip: box.skip,
}, async (t) => {
  const mounts = [0, 1].map((volume) => ({ volume, mountPath: `/v${volume}`, readOnly: false }))
  const containers = [box.container('one', `cat /v1; ${WAIT}`, { mounts }), box.container('two', WAIT)]
  const volumes = [
    { kind: 'empty-dir' as const, sizeBytes: 1n },
    { kind: 'secret' as const, sizeBytes: 0n, secret: Buffer.from('s3\n') },
  ]
  const steps = await countChanges(podOf(containers, volumes))
  assert.ok(steps >= 10, `${steps} requests that change something were expected to be 10 or more`)
  for (let step = 1; step < steps; step += 2) {
    const pod = podOf(containers, volumes)
    t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
    const dying = await openDockerRuntime(dyingEngine(step).engine, { owner: box.owner, log })
    await assert.rejects(dying.apply(pod), `step ${step}`)
    const { containers: seen } = await box.runtime.apply(pod)
    assert.deepEqual(
      seen.map(({ state }) => state),
      ['running', 'running'],
      `step ${step}`,
    )
    assert.equal((await box.idsOf(pod.podId)).length, 3, `step ${step}`)
    assert.equal(await until(() => box.said(pod.podId, 'one')), 's3', `step ${step}`)
    await box.runtime.remove(pod.podId, { volumes: true })
  }
})

/** The engine until its `last`-th request that changes something was carried out; that one's answer and all later are lost. */
function dyingEngine(last: number): { engine: Engine; changes: () => number } {
  let changes = 0
  const ask: Engine['ask'] = async (request) => {
    if (changes >= last) throw new TrustedPodsError('PLATFORM_ENGINE_FAILED', 'killed')
    const answer = await box.engine.ask(request)
    if (request.method !== undefined && ++changes >= last)
      throw new TrustedPodsError('PLATFORM_ENGINE_FAILED', 'killed')
    return answer
  }
  return { engine: { ...box.engine, ask }, changes: () => changes }
}

async function countChanges(pod: PodSpec): Promise<number> {
  const counting = dyingEngine(Number.POSITIVE_INFINITY)
  const counted = await openDockerRuntime(counting.engine, { owner: box.owner, log })
  await counted.apply(pod)
  const changes = counting.changes()
  await counted.remove(pod.podId, { volumes: true })
  return changes
}

test('after kill -9 of the engine the pod comes back whole, once', { skip: box.skip }, async (t) => {
  const mounts = [{ volume: 0, mountPath: '/key', readOnly: true }]
  const pod = podOf(
    [box.container('one', `cat /key; ${WAIT}`, { mounts }), box.container('two', WAIT)],
    [{ kind: 'secret', sizeBytes: 0n, secret: Buffer.from('s3\n') }],
  )
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await box.runtime.apply(pod)
  const before = await box.idsOf(pod.podId)
  const leave = new AbortController()
  t.after(() => leave.abort())
  const hints = box.runtime.watch({ signal: leave.signal })[Symbol.asyncIterator]()
  const hint = hints.next()
  await box.kill()
  await assert.rejects(
    until(() => box.runtime.observe(pod.podId).then(() => undefined)),
    refused('PLATFORM_ENGINE_FAILED'),
  )
  await box.reopen()
  assert.deepEqual(
    (await box.runtime.observe(pod.podId))?.containers.map(({ state }) => state),
    ['exited', 'exited'],
  )
  const { containers } = await box.runtime.apply(pod)
  assert.deepEqual(
    containers.map(({ state }) => state),
    ['running', 'running'],
  )
  assert.deepEqual(await box.idsOf(pod.podId), before)
  assert.equal(await until(async () => [await box.said(pod.podId, 'one')].find((all) => all.includes('\n'))), 's3\ns3')
  assert.deepEqual((await hint).value, { podId: pod.podId })
  await box.engine.ask({ method: 'POST', path: `/containers/${infraName(pod.podId)}/kill` })
  assert.ok((await box.runtime.observe(pod.podId))?.containers.every(({ state }) => state !== 'running'))
  await box.runtime.apply(pod)
  assert.ok((await box.runtime.observe(pod.podId))?.containers.every(({ state }) => state === 'running'))
})
