/** A known number of bytes, sent and received by real containers, over every way in and out, and over every restart. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, test } from 'node:test'
import { Journal } from '../journal.ts'
import { openDockerRuntime } from './docker-runtime.ts'
import { tableName } from './tenant-firewall.ts'
import { fetchText, log, podOf, TestRuntime, until, WAIT } from './test-runtime.ts'

const box = await TestRuntime.open()
after(() => box.close())

const MIB = 2 ** 20
/** Serves one MiB, and takes what is sent to port 9. */
const SERVE = `i=0; while [ $i -lt 1024 ]; do echo "$(printf %01023d $i)"; i=$((i+1)); done > /data/mib; httpd -p 8080 -h /data; while :; do nc -l -p 9 > /data/in; done & ${WAIT}`

function servingPod() {
  const mounts = [{ volume: 0, mountPath: '/data', readOnly: false }]
  const ports = [{ port: 0, targetPort: 8080, protocol: 'tcp' as const, hostIp: '127.0.0.1', httpHost: '' }]
  return podOf([box.container('web', SERVE, { mounts, ports })], [{ kind: 'volume', sizeBytes: BigInt(8 * MIB) }])
}

/** Journal totals, as a provider keeps them. */
function keepTotals(podId: string) {
  const journal = new Journal(':memory:')
  const bytes = new Uint8Array()
  const row = { publisher: 'p', idempotencyKey: podId, requestDigest: '', quote: bytes, channel: bytes }
  journal.insert({ podId, termsPodId: podId, ...row, deposited: 1n, acceptedAtMs: 0 })
  return async () => {
    const reading = await box.runtime.traffic(podId)
    assert.ok(reading, 'traffic is not counted')
    journal.traffic.add(podId, reading)
    const { egressBytes, ingressBytes } = journal.traffic.total(podId)
    return [Number(egressBytes), Number(ingressBytes)] as const
  }
}

/** Payload and at most a tenth of a MiB more: headers, acknowledgements of the other direction. */
function requireCounted(bytes: number, payload: number): void {
  assert.ok(bytes >= payload && bytes < payload + MIB / 10, `${bytes} bytes counted, ${payload} passed`)
}

async function download(address: string, port = 8080): Promise<void> {
  const url = `http://${address}:${port}/mib`
  const body = await until(() =>
    fetchText(url).then(
      (text) => text.length === MIB && text,
      () => undefined,
    ),
  )
  assert.equal(body.length, MIB)
}

test('what passes is counted by its direction, directly and over a published port, and read twice it counts once', {
  skip: box.skip,
}, async (t) => {
  const pod = servingPod()
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  const { address, published } = await box.runtime.apply(pod)
  const totals = keepTotals(pod.podId)
  await download(address ?? '')
  const [sent, received] = await totals()
  requireCounted(sent, MIB)
  requireCounted(received, 0)
  // But for the last packets of the connection, nothing is counted that did not pass.
  const again = await totals()
  requireCounted(again[0] - sent, 0)
  requireCounted(again[1] - received, 0)
  await download('127.0.0.1', published[0]?.hostPort)
  requireCounted((await totals())[0] - again[0], MIB)
})

test('what a pod sends to the world and gets from it is counted, and what the firewall refuses is not', {
  skip: box.skip,
}, async (t) => {
  const world = openWorld()
  t.after(() => world.close())
  const pod = servingPod()
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  const script = `nc ${world.address} 9 < /data/mib; echo sent; for i in 1 2 3; do nc -w 1 10.255.255.1 9 < /data/mib; done; echo tried; ${WAIT}`
  const client = box.container('client', `until [ -e /data/go ]; do sleep 0.1; done; ${script}`, {
    mounts: [{ volume: 0, mountPath: '/data', readOnly: false }],
  })
  const web = {
    ...pod,
    containers: [
      box.container('web', `${SERVE.replace('httpd', 'touch /data/go; httpd')}`, { mounts: client.mounts }),
      client,
    ],
  }
  const sink = world.sink()
  await box.runtime.apply(web)
  const totals = keepTotals(pod.podId)
  assert.equal(await sink, MIB)
  await until(async () => (await box.said(pod.podId, 'client')).includes('tried'))
  const [sent, received] = await totals()
  requireCounted(sent, MIB)
  requireCounted(received, 0)
})

test('what a pod asks of its resolvers, through the engine, is counted like all else', {
  skip: box.skip,
}, async (t) => {
  const world = openWorld()
  t.after(() => world.close())
  const askedBytes = await world.resolver()
  // Not disposed of: what it looks after is the box's.
  const runtime = await openDockerRuntime(box.engine, { owner: box.owner, log, dns: [world.address] })
  const name = Array.from({ length: 4 }, () => 'x'.repeat(60)).join('.')
  const script = `for i in 1 2 3 4 5 6 7 8 9; do busybox nslookup -type=a $i.${name}; done; echo asked; ${WAIT}`
  const pod = podOf([box.container('client', script)])
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  await runtime.apply(pod)
  await until(async () => (await box.said(pod.podId, 'client')).includes('asked'))
  const asked = askedBytes()
  assert.ok(asked >= 9 * name.length, `the resolver got ${asked} bytes`)
  const [sent, received] = await keepTotals(pod.podId)()
  requireCounted(sent, asked)
  requireCounted(received, asked)
})

test('the count goes on over kill -9 of the engine, a new provider, a suspension, and a table that was taken away', {
  skip: box.skip,
}, async (t) => {
  const pod = servingPod()
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  const totals = keepTotals(pod.podId)
  const passOne = async () => {
    const { address } = await box.runtime.apply(pod)
    const [before] = await totals()
    await download(address ?? '')
    requireCounted((await totals())[0] - before, MIB)
  }
  await passOne()
  await box.kill()
  await box.reopen()
  await passOne()
  await box.runtime.remove(pod.podId, { volumes: false })
  await passOne()
  const { address } = await box.runtime.apply(pod)
  const [before] = await totals()
  await download(address ?? '')
  // Between two readings: what passed before is lost, what passed after is not, and nothing is counted twice.
  execFileSync('nft', ['delete', 'table', 'inet', `${tableName(box.owner)}_traffic`])
  assert.equal((await totals())[0], before)
  await passOne()
  assert.ok((await totals())[0] < 4.4 * MIB)
})

test('with the tables that a flush of the ruleset takes away, the firewall is back at the next reading', {
  skip: box.skip,
}, async (t) => {
  const pod = servingPod()
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await box.runtime.apply(pod)
  await box.runtime.traffic(pod.podId)
  const firewall = tableName(box.owner)
  const rules = () => execFileSync('nft', ['list', 'table', 'inet', firewall], { encoding: 'utf8' })
  const before = rules()
  for (const table of [firewall, `${firewall}_traffic`]) execFileSync('nft', ['delete', 'table', 'inet', table])
  await box.runtime.traffic(pod.podId)
  assert.equal(rules(), before)
})

test('a pod whose network is closed sends and receives nothing, and everything again once it is open', {
  skip: box.skip,
}, async (t) => {
  const pod = servingPod()
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  const { address } = await box.runtime.apply(pod)
  await download(address ?? '')
  await box.runtime.setNetwork(pod.podId, { isOpen: false })
  await box.runtime.setNetwork(pod.podId, { isOpen: false })
  const before = await box.runtime.traffic(pod.podId)
  await assert.rejects(fetch(`http://${address}:8080/mib`, { signal: AbortSignal.timeout(700) }))
  assert.deepEqual(await box.runtime.traffic(pod.podId), before)
  await box.runtime.setNetwork(pod.podId, { isOpen: true })
  await download(address ?? '')
})

test('of a pod that ended nothing is left to be counted', { skip: box.skip }, async () => {
  const pod = servingPod()
  const { address } = await box.runtime.apply(pod)
  await download(address ?? '')
  await box.runtime.remove(pod.podId, { volumes: false })
  assert.ok(((await box.runtime.traffic(pod.podId))?.egressBytes ?? 0n) > BigInt(MIB))
  await box.runtime.remove(pod.podId, { volumes: true })
  assert.equal((await box.runtime.traffic(pod.podId))?.egressBytes, 0n)
})

test('a pod whose id was chosen to begin like another’s runs beside it, and its traffic and its end are its own', {
  skip: box.skip,
}, async (t) => {
  const pod = servingPod()
  const twin = { ...servingPod(), podId: `${pod.podId.slice(0, 12)}${'5'.repeat(52)}` }
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  await box.runtime.apply(pod)
  const { address } = await box.runtime.apply(twin)
  await download(address ?? '')
  const passed = await box.runtime.traffic(pod.podId)
  assert.ok(passed && passed.egressBytes + passed.ingressBytes < 10_000n, 'what the other sent is counted')
  await box.runtime.setNetwork(pod.podId, { isOpen: false })
  await box.runtime.remove(twin.podId, { volumes: true })
  const { address: closed } = await box.runtime.apply(pod)
  await assert.rejects(fetch(`http://${closed}:8080/mib`, { signal: AbortSignal.timeout(700) }))
})

/** A resolver on port 53, and how long each question was. */
const NO_SUCH_NAME = `const socket = require('node:dgram').createSocket('udp4')
socket.on('message', (asked, { port, address }) => {
  console.log(asked.length)
  asked[2] |= 0x80
  asked[3] = 0x83
  socket.send(asked, port, address)
})
socket.bind(53, () => console.log(0))`

/** A host with an address of the public internet (TEST-NET-2), behind a wire of its own. */
function openWorld() {
  const name = `tpw${process.pid % 10_000}`
  const subnet = `198.51.100.${4 * (process.pid % 60)}`
  const host = (offset: number) => subnet.replace(/\d+$/, (last) => `${Number(last) + offset}`)
  const ip = (...args: string[]) => execFileSync('ip', args)
  const children: ChildProcess[] = []
  // Not `ip -n`, which wants to mount things anew and cannot where the root is no mount point, as in a chroot.
  const inside = `--net=/run/netns/${name}`
  ip('netns', 'add', name)
  ip('link', 'add', `${name}h`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
  ip('addr', 'add', `${host(1)}/30`, 'dev', `${name}h`)
  ip('link', 'set', `${name}h`, 'up')
  execFileSync('nsenter', [inside, 'ip', 'addr', 'add', `${host(2)}/30`, 'dev', 'eth0'])
  execFileSync('nsenter', [inside, 'ip', 'link', 'set', 'eth0', 'up'])
  return {
    address: host(2),
    /** How many bytes came before the sender closed. */
    async sink(): Promise<number> {
      const child = spawn('nsenter', [inside, 'busybox', 'nc', '-l', '-p', '9'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      let bytes = 0
      child.stdout.on('data', (part: Buffer) => {
        bytes += part.length
        if (bytes >= MIB) child.kill()
      })
      await once(child, 'exit')
      return bytes
    },
    /** Answers that there is no such name, as long as what was asked. @returns the bytes that it was asked so far. */
    async resolver(): Promise<() => number> {
      const child = spawn('nsenter', [inside, process.execPath, '-e', NO_SUCH_NAME], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      children.push(child)
      await once(child.stdout, 'data')
      let bytes = 0
      child.stdout.on('data', (part: Buffer) => {
        for (const line of part.toString().split('\n')) bytes += Number(line)
      })
      return () => bytes
    },
    close() {
      for (const child of children) child.kill()
      ip('netns', 'delete', name)
    },
  }
}
