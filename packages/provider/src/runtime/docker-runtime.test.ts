import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { inspectContainer } from '@trusted-pods/platform/engine/containers.ts'
import { numberAt, textAt } from '@trusted-pods/platform/engine/json-view.ts'
import { startFront } from '../gateway/front.ts'
import { memberName } from './pod-names.ts'
import { busyboxImage, collect, fetchText, log, podOf, refused, TestRuntime, until, WAIT } from './test-runtime.ts'

const box = await TestRuntime.open()
after(() => box.close())

test('two containers share localhost and a volume, and each has its environment, secret and limits', {
  skip: box.skip,
}, async (t) => {
  const mounts = [{ volume: 0, mountPath: '/data', readOnly: false }]
  const secret = { volume: 1, mountPath: '/run/secrets/key', readOnly: false }
  const facts =
    'cat /proc/self/status; stat -c "%a %u %s" /run/secrets/key; cat /run/secrets/key; echo "$GREETING $FROM_IMAGE"; id -u'
  const limits = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null'
  const web = box.container(
    'web',
    `${facts}; ${limits}; echo page > /data/index.html; httpd -p 8080 -h /data; ${WAIT}`,
    {
      env: [{ name: 'GREETING', value: 'hi = there' }],
      mounts: [...mounts, secret],
    },
  )
  const side = box.container(
    'side',
    `until wget -qO /data/copy http://web:8080/; do sleep 0.1; done; cat /data/copy; echo to stderr >&2; ${WAIT}`,
    { mounts },
  )
  const pod = podOf(
    [web, side],
    [
      { kind: 'empty-dir', sizeBytes: 1n << 20n },
      { kind: 'secret', sizeBytes: 0n, secret: Buffer.from('s3cret\n') },
    ],
  )
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  const observed = await box.runtime.apply(pod)
  assert.deepEqual(observed.containers.map(({ name, state }) => [name, state]).sort(), [
    ['side', 'running'],
    ['web', 'running'],
  ])
  await until(async () => (await box.said(pod.podId, 'side')).includes('page'))
  const seen = await box.said(pod.podId, 'web')
  for (const wanted of [
    /^CapEff:\s+0+$/m,
    /^NoNewPrivs:\s+1$/m,
    /^Seccomp:\s+2$/m,
    /^400 1234 7$/m,
    /^s3cret$/m,
    /^hi = there yes$/m,
    /^1234$/m,
    /^33554432$/m,
  ]) {
    assert.match(seen, wanted)
  }
  const errors = (await box.allLogs(pod.podId)).filter(({ stderr }) => stderr)
  assert.deepEqual(
    errors.map(({ container: name, text: line }) => [name, Buffer.from(line).toString()]),
    [['side', 'to stderr']],
  )
  const inspection = await inspectContainer(box.engine, memberName(pod.podId, 'web'))
  assert.equal(numberAt(inspection, 'HostConfig', 'NanoCpus'), 250_000_000)
  assert.equal(numberAt(inspection, 'HostConfig', 'PidsLimit'), 1024)
  assert.doesNotMatch(JSON.stringify(inspection), /s3cret/)
  const usage = await box.runtime.usage(pod.podId)
  assert.ok((usage.cpuMicros ?? 0n) > 0n && (usage.memoryPeakBytes ?? 0n) > 0n)
})

test('a secret is on no disk of the engine', { skip: box.skip }, async (t) => {
  const marker = randomBytes(16).toString('hex')
  const pod = podOf(
    [box.container('one', `wc -c < /key; ${WAIT}`, { mounts: [{ volume: 0, mountPath: '/key', readOnly: true }] })],
    [{ kind: 'secret', sizeBytes: 0n, secret: Buffer.from(marker) }],
  )
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await box.runtime.apply(pod)
  assert.equal(await until(() => box.said(pod.podId, 'one')), '32')
  // The engine's mounts are its own: from here its folder shows what lies on the disk below them. grep: 1 is "found nothing".
  const search = promisify(execFile)('grep', ['-rlaF', marker, box.stateDir])
  await assert.rejects(search, { code: 1 })
})

test('ports are published on the host’s address, TCP and UDP; that of an HTTP host is not', {
  skip: box.skip,
}, async (t) => {
  const [tcp, udp, http] = [await freePort(), await freePort(), await freePort()]
  const port = { hostIp: '127.0.0.1', httpHost: '', protocol: 'tcp' as const }
  const script = `mkdir /dev/shm/w; echo hello > /dev/shm/w/index.html; httpd -p 80 -h /dev/shm/w; ${WAIT}`
  const pod = podOf([
    box.container('web', script, {
      image: await box.runtime.importImage(await busyboxImage({ User: '' })),
      ports: [
        { ...port, port: tcp, targetPort: 80 },
        { ...port, port: udp, targetPort: 53, protocol: 'udp' },
        { ...port, port: http, targetPort: 81, httpHost: 'x.example' },
      ],
    }),
  ])
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  const { published } = await box.runtime.apply(pod)
  const on = { container: 'web', hostIp: '127.0.0.1' }
  assert.deepEqual(
    published.toSorted((a, b) => a.targetPort - b.targetPort),
    [
      { ...on, targetPort: 53, protocol: 'udp', hostPort: udp },
      { ...on, targetPort: 80, protocol: 'tcp', hostPort: tcp },
    ],
  )
  assert.equal(await until(() => fetchText(`http://127.0.0.1:${tcp}/`).catch(() => undefined)), 'hello\n')
  assert.ok(await isTakenUdp(udp))
  assert.ok(!(await isTakenUdp(http)))
  await assert.rejects(fetchText(`http://127.0.0.1:${http}/`), { code: 'ECONNREFUSED' })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((settle) => server.close(settle))
  return port
}

async function isTakenUdp(port: number): Promise<boolean> {
  const socket = createSocket('udp4')
  const taken = new Promise<boolean>((settle) => {
    socket.once('listening', () => settle(false)).once('error', () => settle(true))
  })
  socket.bind(port, '127.0.0.1')
  return taken.finally(() => socket.close())
}

test('the front serves the pod at its address', { skip: box.skip }, async (t) => {
  const front = await startFront({ host: '127.0.0.1', port: 0, log })
  t.after(() => front.close())
  const pod = podOf([
    box.container(
      'web',
      `mkdir /dev/shm/w; echo fronted > /dev/shm/w/index.html; httpd -p 8080 -h /dev/shm/w; ${WAIT}`,
    ),
  ])
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  const { address } = await box.runtime.apply(pod)
  assert.ok(address)
  front.setRoute('pod.example', { address, port: 8080, podId: 'pod' })
  const url = `http://127.0.0.1:${front.address.port}/`
  assert.equal(
    await until(async () => [await fetchText(url, 'pod.example')].find((page) => page.startsWith('fronted'))),
    'fronted\n',
  )
})

test('a changed spec changes that container alone; one that left the spec is removed', {
  skip: box.skip,
}, async (t) => {
  const [one, two] = [box.container('one', WAIT), box.container('two', WAIT)]
  const pod = podOf([one, two])
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await box.runtime.apply(pod)
  const idOf = async (name: string) => textAt(await inspectContainer(box.engine, memberName(pod.podId, name)), 'Id')
  const [oneBefore, twoBefore] = [await idOf('one'), await idOf('two')]
  await box.runtime.apply({ ...pod, containers: [{ ...one, cpuMillis: 100n }, two] })
  assert.notEqual(await idOf('one'), oneBefore)
  assert.equal(await idOf('two'), twoBefore)
  const { containers } = await box.runtime.apply({ ...pod, containers: [two] })
  assert.deepEqual(
    containers.map(({ name }) => name),
    ['two'],
  )
})

test('an exit is observed with its code, and apply starts the container again', { skip: box.skip }, async (t) => {
  const pod = podOf([box.container('job', 'echo once more; exit 7'), box.container('stays', WAIT)])
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  const leave = new AbortController()
  const hint = box.runtime.watch({ signal: leave.signal })[Symbol.asyncIterator]().next()
  await box.runtime.apply(pod)
  assert.deepEqual((await hint).value, { podId: pod.podId })
  leave.abort()
  const jobOf = async () => (await box.runtime.observe(pod.podId))?.containers.find(({ name }) => name === 'job')
  const exited = { name: 'job', state: 'exited', exitCode: 7 }
  assert.deepEqual(await until(async () => [await jobOf()].find((job) => job?.state === 'exited')), {
    ...exited,
    restarts: 0,
  })
  await box.runtime.apply(pod)
  assert.deepEqual(await until(async () => [await jobOf()].find((job) => job?.state === 'exited')), {
    ...exited,
    restarts: 1,
  })
  assert.equal(await box.said(pod.podId, 'job'), 'once more\nonce more')
})

test('logs follow, by container and by tail; an unknown one is refused', { skip: box.skip }, async (t) => {
  const pod = podOf([box.container('a', `echo 1; echo 2; ${WAIT}`), box.container('b', `echo 3; ${WAIT}`)])
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await box.runtime.apply(pod)
  await until(async () => (await box.allLogs(pod.podId)).length === 3)
  const texts = async (options: object) =>
    (await collect(box.runtime.logs(pod.podId, { follow: false, ...options }))).map((line) =>
      Buffer.from(line.text).toString(),
    )
  assert.deepEqual(await texts({ container: 'a' }), ['1', '2'])
  assert.deepEqual(await texts({ container: 'a', tail: 1 }), ['2'])
  const followed: string[] = []
  for await (const line of box.runtime.logs(pod.podId, { follow: true })) {
    followed.push(`${line.container}${Buffer.from(line.text)}`)
    if (followed.length === 3) break
  }
  assert.deepEqual(followed.sort(), ['a1', 'a2', 'b3'])
  await assert.rejects(texts({ container: 'c' }), refused('STATUS_UNKNOWN_CONTAINER'))
  await assert.rejects(collect(box.runtime.logs('0'.repeat(64), { follow: false })), refused('STATUS_UNKNOWN_POD'))
})
