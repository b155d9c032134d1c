import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import type { Engine, EngineRequest } from '@trusted-pods/platform/engine/engine-client.ts'
import type { FileEntry } from '@trusted-pods/platform/engine/file-tar.ts'
import { findProgram } from '@trusted-pods/platform/engine/find-program.ts'
import { inspectImage, listImageTags, loadImage } from '@trusted-pods/platform/engine/images.ts'
import { at, textAt } from '@trusted-pods/platform/engine/json-view.ts'
import { listMountPoints } from '@trusted-pods/platform/engine/mount-table.ts'
import { hybridArchive } from '@trusted-pods/platform/hybrid-archive.ts'
import type { ErrorCode } from '@trusted-pods/protocol/errors.ts'
import { openDockerRuntime } from './docker-runtime.ts'
import type { ContainerSpec, ImageRef } from './pod-runtime.ts'
import { tableName } from './tenant-firewall.ts'
import { busyboxImage, fetchText, log, podOf, refused, TestRuntime, until, WAIT } from './test-runtime.ts'

const noFirewall = (await findProgram('nft')) ? false : 'there is no nft on this machine'
const box = await TestRuntime.open()
after(() => box.close())

test('an image of another name is refused, and one that was put under our name is replaced', {
  skip: box.skip,
}, async () => {
  for (const name of ['busybox:1', 'tpod.invalid/other/image:x', `${box.image.slice(0, -64)}latest`]) {
    const pod = podOf([box.container('x', WAIT, { image: name as ImageRef })])
    await assert.rejects(box.runtime.apply(pod), refused('PROVISION_IMAGE_REFUSED'))
    assert.equal(await box.runtime.observe(pod.podId), undefined)
  }
  const [wanted, planted] = [await busyboxImage({ User: '5' }), await busyboxImage({ User: '0' })]
  const name = `tpod.invalid/${box.owner}/image:${wanted.digest.slice(7)}`
  await loadImage(box.engine, hybridArchive(planted, { repoTag: name }))
  assert.equal(textAt((await inspectImage(box.engine, name))?.config, 'User'), '0')
  assert.equal(await box.runtime.importImage(wanted), name)
  assert.equal(textAt((await inspectImage(box.engine, name))?.config, 'User'), '5')
  await box.runtime.pruneImages(new Set([box.image]))
  assert.deepEqual(await listImageTags(box.engine, `tpod.invalid/${box.owner}/image`), [box.image])
})

test('an image that names a user it does not have is refused where a secret is to be his', {
  skip: box.skip,
}, async (t) => {
  const nobody = await box.runtime.importImage(await busyboxImage({ User: 'ghost' }))
  const mounts = [{ volume: 0, mountPath: '/key', readOnly: true }]
  const pod = podOf(
    [box.container('x', WAIT, { image: nobody, mounts })],
    [{ kind: 'secret', sizeBytes: 0n, secret: Buffer.from('x') }],
  )
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await assert.rejects(box.runtime.apply(pod), refused('PROVISION_IMAGE_REFUSED', /"ghost"/))
})

test('an /etc/passwd or labels without measure are refused before they fill the memory', {
  skip: box.skip,
}, async (t) => {
  const files: FileEntry[] = [{ kind: 'file', path: 'etc/passwd', content: Buffer.alloc(3 << 20, 'a') }]
  const big = await box.runtime.importImage(await busyboxImage({ User: 'app' }, files))
  const pod = podOf(
    [box.container('x', WAIT, { image: big, mounts: [{ volume: 0, mountPath: '/key', readOnly: true }] })],
    [{ kind: 'secret', sizeBytes: 0n, secret: Buffer.from('x') }],
  )
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await assert.rejects(
    box.runtime.apply(pod),
    refused('PROVISION_IMAGE_REFUSED', /\/etc\/passwd .* over 1048576 bytes/),
  )
  assert.equal((await box.idsOf(pod.podId)).length, 1, 'the infra container alone, no probe')
  const labelled = await busyboxImage({ Labels: { note: 'a'.repeat(64 << 10) } })
  await assert.rejects(box.runtime.importImage(labelled), refused('PROVISION_IMAGE_REFUSED', /at most 65536/))
})

test('what cannot run is refused: limits too low, a volume that is not there, a GPU, a command that is not there', {
  skip: box.skip,
}, async (t) => {
  const cases: [Partial<ContainerSpec>, ErrorCode][] = [
    [{ cpuMillis: 0n }, 'PROVISION_BAD_POD'],
    [{ memoryBytes: 1n << 20n }, 'PROVISION_BAD_POD'],
    [{ mounts: [{ volume: 3, mountPath: '/x', readOnly: false }] }, 'PROVISION_BAD_POD'],
    [{ gpus: 1 }, 'PROVISION_RUNTIME_MISMATCH'],
    [{ gpus: 1, devices: [{ kind: 'nvidia', id: '0' }] }, 'PROVISION_RUNTIME'],
    [{ command: ['/no/such/program'] }, 'PROVISION_CONTAINER_EXITED'],
  ]
  const pod = podOf([box.container('x', WAIT)])
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  for (const [change, code] of cases) {
    await assert.rejects(box.runtime.apply({ ...pod, containers: [box.container('x', WAIT, change)] }), refused(code))
  }
  await assert.rejects(box.runtime.apply({ ...pod, podId: 'A'.repeat(64) }), refused('PROVISION_BAD_POD'))
  await assert.rejects(openDockerRuntime(box.engine, { owner: 'Not Good', log }), refused('PLATFORM_CONFIG'))
  await assert.rejects(
    openDockerRuntime(box.engine, { owner: box.owner, log, podNetwork: '10.0.0.0/30' }),
    refused('PLATFORM_CONFIG'),
  )
})

test('an engine that drops a limit is refused and keeps nothing of the pod', { skip: box.skip }, async () => {
  const forgetful: Engine = {
    ...box.engine,
    ask: (request) =>
      box.engine.ask(
        request.path === '/containers/create' ? { ...request, json: without(request, 'PidsLimit') } : request,
      ),
  }
  const weak = await openDockerRuntime(forgetful, { owner: box.owner, log })
  const pod = podOf([box.container('x', WAIT)])
  await assert.rejects(weak.apply(pod), refused('PROVISION_RUNTIME_MISMATCH', /HostConfig\.PidsLimit/))
  assert.equal(await box.runtime.observe(pod.podId), undefined)
})

function without({ json }: EngineRequest, field: string): object {
  const hostConfig = Object.entries(at(json, 'HostConfig') ?? {}).filter(([name]) => name !== field)
  return { ...Object(json), HostConfig: Object.fromEntries(hostConfig) }
}

test('pods reach neither the host nor each other, and the rules go with the last pod', {
  skip: box.skip || noFirewall,
}, async (t) => {
  const host = createServer((_, response) => response.end('the host')).listen(0, '0.0.0.0')
  await once(host, 'listening')
  t.after(() => host.close())
  const { port } = host.address() as AddressInfo
  const web = podOf([
    box.container('web', `mkdir /dev/shm/w; echo other > /dev/shm/w/index.html; httpd -p 8080 -h /dev/shm/w; ${WAIT}`),
  ])
  t.after(() => box.runtime.remove(web.podId, { volumes: true }))
  const { address } = await box.runtime.apply(web)
  await until(() => fetchText(`http://${address}:8080/`).catch(() => undefined))
  const gateway = address?.replace(/\d+$/, (last) => String(Number(last) - 1))
  const own = Object.values(networkInterfaces())
    .flat()
    .filter((each) => each?.family === 'IPv4' && !each.internal)
    .map((each) => each?.address)
  const targets = [`${address}:8080`, '127.0.0.1:8081', ...[gateway, ...own].map((ip) => `${ip}:${port}`)]
  const tries = targets.map(
    (target) => `(echo | nc -w 1 ${target.replace(':', ' ')} > /dev/null 2>&1 && echo reached ${target})`,
  )
  const pod = podOf([box.container('x', `httpd -p 8081; ${tries.join('; ')}; echo tried; ${WAIT}`)])
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await box.runtime.apply(pod)
  await until(async () => (await box.said(pod.podId, 'x')).includes('tried'))
  assert.equal(await box.said(pod.podId, 'x'), 'reached 127.0.0.1:8081\ntried')
  const tables = async () =>
    (await promisify(execFile)('nft', ['list', 'tables'])).stdout
      .split(/\s+/)
      .filter((word) => word.startsWith('tpod_'))
  // By name: other tests of this machine make and remove theirs meanwhile.
  const table = tableName(`${box.owner}-c`)
  const ownTables = async () => (await tables()).filter((name) => name.startsWith(table)).sort()
  const brief = await openDockerRuntime(box.engine, { owner: `${box.owner}-c`, log })
  assert.deepEqual(await ownTables(), [table, `${table}_traffic`])
  await brief[Symbol.asyncDispose]()
  assert.deepEqual(await ownTables(), [])
})

test('describe says whether pods are kept apart: a machine without nft is none', { skip: box.skip }, async () => {
  assert.equal((await box.runtime.describe()).firewall, noFirewall ? 'none' : 'nftables')
  const script = `
    import { connectEngine } from '@trusted-pods/platform/engine/engine-client.ts'
    import { openDockerRuntime } from '${import.meta.dirname}/docker-runtime.ts'
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const engine = await connectEngine(process.argv[1])
    await using runtime = await openDockerRuntime(engine, { owner: process.argv[2], log })
    console.log((await runtime.describe()).firewall)`
  // In a mount namespace of its own what is no program lies over every nft.
  const hide = 'for each in $(which -a nft); do mount --bind /dev/null "$each"; done; exec "$@"'
  const node = [process.execPath, '--conditions=@trusted-pods/source', '--input-type=module', '-e', script]
  // A plain chroot's root is no mount point, whose propagation cannot be changed.
  const inChroot = !(await listMountPoints()).includes('/')
  const args = [
    '--mount',
    ...(inChroot ? ['--propagation', 'unchanged'] : []),
    'sh',
    '-c',
    hide,
    'sh',
    ...node,
    box.engine.socket,
    `${box.owner}-d`,
  ]
  assert.equal((await promisify(execFile)('unshare', args, { cwd: import.meta.dirname })).stdout, 'none\n')
})
