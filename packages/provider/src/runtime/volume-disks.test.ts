import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { loopDiskObstacle } from '@trusted-pods/platform/engine/loop-disk.ts'
import { testInChroot } from '@trusted-pods/platform/engine/test-chroot.ts'
import { openDockerRuntime } from './docker-runtime.ts'
import { log, podOf, refused, TestRuntime, until, WAIT } from './test-runtime.ts'

const box = await TestRuntime.open()
const skip = box.skip || ((await loopDiskObstacle()) ?? false)
after(() => box.close())

/** Files behind the machine's loop devices that lie in the engine's folder. */
async function attached(): Promise<string[]> {
  const { stdout } = await promisify(execFile)('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])
  return stdout.split('\n').filter((file) => file.startsWith(box.stateDir))
}

const mounts = [{ volume: 0, mountPath: '/data', readOnly: false }]
const FILL = 'cat /dev/zero > /data/fill 2> /dev/null; echo ended; wc -c < /data/fill'

test('a volume ends at its size, for each kind; it starts empty and anyone’s, without programs’ or devices’ rights', {
  skip,
}, async (t) => {
  assert.equal((await box.runtime.describe()).volumeLimits, 'enforced')
  for (const kind of ['volume', 'empty-dir'] as const) {
    const script = `echo /data/*; ${FILL}; cat /proc/mounts; ${WAIT}`
    const pod = podOf([box.container('x', script, { mounts })], [{ kind, sizeBytes: 4n << 20n }])
    t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
    await box.runtime.apply(pod)
    const said = await until(async () => [await box.said(pod.podId, 'x')].find((all) => all.includes('/data ext4')))
    const [empty, ended, bytes] = said.split('\n')
    assert.deepEqual([empty, ended], ['/data/*', 'ended'])
    assert.ok(Number(bytes) > 2 << 20 && Number(bytes) < 4 << 20, `${bytes} bytes fitted`)
    assert.match(said, /^\S+ \/data ext4 rw,nosuid,nodev/m)
    assert.equal((await attached()).length, 1)
    await box.runtime.remove(pod.podId, { volumes: true })
    assert.deepEqual(await attached(), [])
  }
})

test('a volume that was filled is found full again after kill -9 of the engine, on one device', { skip }, async (t) => {
  const script = `[ -f /data/kept ] || echo kept > /data/kept; cat /data/kept; ${WAIT}`
  const pod = podOf([box.container('x', script, { mounts })], [{ kind: 'volume', sizeBytes: 2n << 20n }])
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await box.runtime.apply(pod)
  await until(() => box.said(pod.podId, 'x'))
  await box.kill()
  await box.reopen()
  await box.runtime.apply(pod)
  assert.equal(
    await until(async () => [await box.said(pod.podId, 'x')].find((all) => all.includes('\n'))),
    'kept\nkept',
  )
  assert.equal((await attached()).length, 1)
})

test('a device that went, as with a restart of the machine, is had again', { skip }, async (t) => {
  const script = `cat /data/kept; echo kept > /data/kept; ${WAIT}`
  const pod = podOf([box.container('x', script, { mounts })], [{ kind: 'volume', sizeBytes: 2n << 20n }])
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await box.runtime.apply(pod)
  await until(async () => (await box.allLogs(pod.podId)).length > 0)
  await box.runtime.remove(pod.podId, { volumes: false })
  const [disk = ''] = await attached()
  await promisify(execFile)('sh', ['-c', 'losetup -d $(losetup -j "$0" -n -O NAME)', disk])
  assert.deepEqual(await attached(), [])
  await box.runtime.apply(pod)
  assert.equal(await until(() => box.said(pod.podId, 'x')), 'kept')
  const grown = { ...pod, volumes: [{ kind: 'volume' as const, sizeBytes: 3n << 20n }] }
  await assert.rejects(box.runtime.apply(grown), refused('PROVISION_RUNTIME'))
})

test('an engine whose folder is not on this machine has no limits, and says so', { skip }, async () => {
  const elsewhere = { ...box.engine, name: 'Podman Engine' }
  const warnings: string[] = []
  const warn = (text: string) => void warnings.push(text)
  const runtime = await openDockerRuntime(elsewhere, { owner: box.owner, log: { ...log, warn } })
  assert.equal((await runtime.describe()).volumeLimits, 'none')
  assert.ok(warnings.includes('volumes have no limit of their size'))
})

test('volumes end at their size inside a plain chroot too', { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tp-chroot-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const report = await testInChroot(import.meta.filename, { root: folder, name: 'a volume ends at its size' })
  assert.match(report, /^ok 1 - a volume ends at its size/m)
  assert.doesNotMatch(report, /# SKIP/)
})
