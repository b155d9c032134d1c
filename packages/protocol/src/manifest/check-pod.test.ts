import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clone, create } from '@bufbuild/protobuf'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { TrustedPodsError } from '../errors.ts'
import {
  type Container,
  ContainerSchema,
  EnvVarSchema,
  type Pod,
  PodSchema,
  type Port,
  PortProtocol,
  PortSchema,
  ReplicasSchema,
  type Resource,
  ResourceSchema,
  type Volume,
  type VolumeMount,
  VolumeMountSchema,
  VolumeSchema,
  VolumeType,
} from '../gen/trustedpods/v0/pod_pb.ts'
import { PriceSchema, PricingTableSchema } from '../gen/trustedpods/v0/pricing_pb.ts'
import { cidOf } from './arbitrary-manifest.test.ts'
import { checkPod } from './check-pod.ts'

const GOOD = create(PodSchema, {
  containers: [
    {
      name: 'web',
      image: { cid: cidOf(1), privateKey: new Uint8Array(138) },
      command: ['sh'],
      ports: [
        { port: 8080, targetPort: 80, protocol: PortProtocol.TCP, httpHost: 'a.example' },
        { port: 53, targetPort: 53, protocol: PortProtocol.UDP },
      ],
      env: [{ name: 'A', value: 'b' }],
      mounts: [
        { volume: 0, mountPath: '/data' },
        { volume: 1, mountPath: '/key', readOnly: true },
      ],
      resources: [
        { name: 'cpu', quantity: 100n },
        { name: 'memory', quantity: 67108864n },
      ],
    },
    {
      name: 'side',
      image: { cid: cidOf(2), privateKey: new Uint8Array(138) },
      resources: [
        { name: 'cpu', quantity: 1n, selector: 'EPYC' },
        { name: 'memory', quantity: 1n },
      ],
    },
  ],
  replicas: { min: 1, max: 1 },
  volumes: [
    { type: VolumeType.EMPTY_DIR, storageBytes: 1n },
    { type: VolumeType.SECRET, secret: new Uint8Array(3) },
  ],
})

/** What is changed in a good pod; `web` is its first container. */
type Change = (pod: Pod, web: Container) => void
const port =
  (index: number, fields: Partial<Port>): Change =>
  (_, web) => {
    Object.assign(web.ports[index] ?? {}, fields)
  }
const mount =
  (index: number, fields: Partial<VolumeMount>): Change =>
  (_, web) => {
    Object.assign(web.mounts[index] ?? {}, fields)
  }
const resource =
  (index: number, fields: Partial<Resource>): Change =>
  (_, web) => {
    Object.assign(web.resources[index] ?? {}, fields)
  }
const volume =
  (index: number, fields: Partial<Volume>): Change =>
  (pod) => {
    Object.assign(pod.volumes[index] ?? {}, fields)
  }
const replicas =
  (min: number, max: number): Change =>
  (pod) => {
    pod.replicas = create(ReplicasSchema, { min, max })
  }
const image =
  (cid: Uint8Array, privateKey = new Uint8Array(1)): Change =>
  (_, web) => {
    Object.assign(web.image ?? {}, { cid, privateKey })
  }
const sources =
  (list: string[]): Change =>
  (_, web) => {
    Object.assign(web.image ?? {}, { sources: list })
  }
const web =
  (fields: Partial<Container>): Change =>
  (_, container) => {
    Object.assign(container, fields)
  }
const repeat = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index))
const cidV0 = CID.createV0(createDigest(0x12, new Uint8Array(32))).bytes

const REFUSED: readonly [change: Change, message: string][] = [
  [(pod) => (pod.containers = []), 'containers: 0 entries, wanted 1 to 16'],
  [(pod, one) => (pod.containers = repeat(17, () => one)), 'containers: 17 entries, wanted 1 to 16'],
  [(pod) => (pod.volumes = repeat(33, () => create(VolumeSchema))), 'volumes: 33 entries, wanted 0 to 32'],
  [web({ name: 'Web' }), 'containers[0].name: "Web", wanted 1 to 63 of a-z'],
  [web({ name: '' }), 'containers[0].name: "", wanted'],
  [web({ name: 'side' }), 'containers[1].name: "side", containers[0] has that name'],
  [(_, one) => delete one.image, 'containers[0].image: absent, wanted a CID and a private key'],
  [sources(['http://a.example']), 'containers[0].image.sources[0]: "http://a.example", wanted a multiaddr such as'],
  [
    sources(['https://a.example', '/unix/run%2Fdocker.sock']),
    'containers[0].image.sources[1]: "/unix/run%2Fdocker.sock", wanted',
  ],
  [sources(repeat(9, () => 'https://a.example')), 'containers[0].image.sources: 9 entries, wanted 0 to 8'],
  [image(new Uint8Array()), 'containers[0].image.cid: 0 bytes that are no CID, wanted a binary CIDv1'],
  [image(cidOf(1).subarray(0, 35)), 'containers[0].image.cid: 35 bytes that are no CID'],
  [image(new Uint8Array([...cidOf(1), 0])), 'containers[0].image.cid: 37 bytes that are no CID'],
  [image(cidV0), 'containers[0].image.cid: a CIDv0, wanted a CIDv1'],
  [image(new Uint8Array(129)), 'containers[0].image.cid: 129 bytes, at most 128'],
  [image(cidOf(1), new Uint8Array()), 'containers[0].image.private_key: 0 bytes, wanted 1 to 1024'],
  [image(cidOf(1), new Uint8Array(1025)), 'containers[0].image.private_key: 1025 bytes'],
  [web({ command: repeat(257, () => 'a') }), 'containers[0].command: 257 entries, wanted 0 to 256'],
  [web({ args: ['a', 'b\0'] }), 'containers[0].args[1]: the word holds a NUL character'],
  [web({ args: ['a'.repeat(131072)] }), 'containers[0].args[0]: the word is 131072 bytes long'],
  [web({ workingDir: 'srv' }), 'containers[0].working_dir: "srv", is not absolute'],
  [web({ workingDir: '/a/../b' }), 'containers[0].working_dir: "/a/../b", holds ..'],
  [web({ workingDir: '/a\0' }), 'containers[0].working_dir: "/a\uFFFD", holds a control character'],
  [web({ ports: repeat(33, () => create(PortSchema)) }), 'containers[0].ports: 33 entries, wanted 0 to 32'],
  [port(0, { port: 0 }), 'containers[0].ports[0].port: 0, wanted 1 to 65535'],
  [port(1, { targetPort: 65536 }), 'containers[0].ports[1].target_port: 65536, wanted 1 to 65535'],
  [port(1, { protocol: PortProtocol.UNSPECIFIED }), 'containers[0].ports[1].protocol: 0, wanted 1 (TCP) or 2 (UDP)'],
  [port(1, { protocol: 3 as never }), 'containers[0].ports[1].protocol: 3, wanted'],
  [port(1, { hostIp: 'here' }), 'containers[0].ports[1].host_ip: "here", wanted an IPv4 or IPv6 address'],
  [port(0, { httpHost: 'A.example' }), 'containers[0].ports[0].http_host: "A.example", wanted a lower-case host name'],
  [port(0, { httpHost: '10.0.0.1' }), 'containers[0].ports[0].http_host: "10.0.0.1", wanted'],
  [
    port(0, { protocol: PortProtocol.UDP }),
    'containers[0].ports[0].http_host: "a.example", only a TCP port has a host',
  ],
  [port(0, { hostIp: '10.0.0.1' }), 'containers[0].ports[0].host_ip: "10.0.0.1", the HTTP front has its own address'],
  [
    port(1, { httpHost: 'a.example', protocol: PortProtocol.TCP }),
    'containers[0].ports[1].http_host: "a.example", containers[0].ports[0] has that host',
  ],
  [
    (pod, one) => Object.assign(pod.containers[1] ?? {}, { ports: one.ports.slice(1) }),
    'containers[1].ports[0].port: 53/udp, containers[0].ports[1] has that port',
  ],
  [web({ env: repeat(257, () => create(EnvVarSchema)) }), 'containers[0].env: 257 entries, wanted 0 to 256'],
  [web({ env: [create(EnvVarSchema, { name: 'A=B' })] }), 'containers[0].env[0].name: "A=B", wanted letters'],
  [web({ env: repeat(2, () => create(EnvVarSchema, { name: 'A' })) }), 'containers[0].env[1].name: "A", set twice'],
  [
    web({ env: [create(EnvVarSchema, { name: 'A', value: 'hunter2\0' })] }),
    'containers[0].env[0].value: the value holds a NUL character, wanted text that a program can be given',
  ],
  [web({ mounts: repeat(33, () => create(VolumeMountSchema)) }), 'containers[0].mounts: 33 entries, wanted 0 to 32'],
  [mount(0, { volume: 7 }), 'containers[0].mounts[0].volume: 7, the pod has 2 volumes'],
  [mount(1, { volume: 2 }), 'containers[0].mounts[1].volume: 2, the pod has 2 volumes'],
  [mount(0, { volume: 4294967295 }), 'containers[0].mounts[0].volume: 4294967295, the pod has 2 volumes'],
  [(pod) => (pod.volumes = pod.volumes.slice(0, 1)), 'containers[0].mounts[1].volume: 1, the pod has 1 volume'],
  [mount(0, { mountPath: 'data' }), 'containers[0].mounts[0].mount_path: "data", is not absolute'],
  [mount(0, { mountPath: '/data/' }), 'containers[0].mounts[0].mount_path: "/data/", holds an empty or . segment'],
  [mount(0, { mountPath: '/data/../etc' }), 'containers[0].mounts[0].mount_path: "/data/../etc", holds ..'],
  [mount(0, { mountPath: '/' }), 'containers[0].mounts[0].mount_path: "/", is the root'],
  [mount(0, { mountPath: '/proc/self' }), 'lies in /proc, which belongs to the system'],
  [mount(0, { mountPath: '/a:rw' }), 'containers[0].mounts[0].mount_path: "/a:rw", holds : or ,'],
  [mount(1, { mountPath: '/data' }), 'containers[0].mounts[1].mount_path: "/data", mounts[0] is in its way'],
  [mount(0, { mountPath: '/key/sub' }), 'containers[0].mounts[1].mount_path: "/key", mounts[0] is in its way'],
  [web({ resources: [] }), 'containers[0].resources: no cpu, every container has cpu and memory'],
  [(_, one) => (one.resources = one.resources.slice(0, 1)), 'containers[0].resources: no memory, every container'],
  [web({ resources: repeat(33, () => create(ResourceSchema)) }), 'containers[0].resources: 33 entries, wanted 0 to 32'],
  [
    resource(0, { name: 'gpu' }),
    'containers[0].resources[0].name: "gpu", wanted one of cpu, memory, ephemeral-storage',
  ],
  [resource(0, { name: 'storage' }), 'containers[0].resources[0].name: "storage", wanted one of'],
  [resource(0, { name: 'trustedpods/port' }), 'containers[0].resources[0].name: "trustedpods/port", wanted one of'],
  [resource(0, { name: 'constructor' }), 'containers[0].resources[0].name: "constructor", wanted one of'],
  [resource(0, { quantity: 0n }), 'containers[0].resources[0].quantity: 0, wanted 1 to 9223372036854775807'],
  [resource(1, { quantity: 2n ** 63n }), 'containers[0].resources[1].quantity: 9223372036854775808, wanted'],
  [resource(1, { quantity: 2n ** 63n - 1n }), 'resources: 9223372036854775808 of "memory" in all, at most'],
  [resource(1, { name: 'cpu' }), 'containers[0].resources[1].name: "cpu", asked for twice'],
  [resource(0, { selector: ' x' }), 'containers[0].resources[0].selector: " x", wanted 1 to 64 printable'],
  [resource(1, { selector: 'x' }), 'containers[0].resources[1].selector: "x", memory has no selector'],
  [(pod) => delete pod.replicas, 'replicas: absent, wanted min and max'],
  [replicas(0, 0), 'replicas.max: 0, wanted 1 to 1000'],
  [replicas(1, 1001), 'replicas.max: 1001, wanted 1 to 1000'],
  [replicas(3, 2), 'replicas.min: 3, at most max, which is 2'],
  [
    (pod, one) => {
      one.ports = []
      pod.replicas = create(ReplicasSchema, { min: 0, max: 1 })
    },
    'replicas.min: 0, a pod sleeps only behind an HTTP host',
  ],
  [
    volume(0, { type: VolumeType.UNSPECIFIED }),
    'volumes[0].type: 0, wanted 1 (volume), 2 (empty directory) or 3 (secret)',
  ],
  [volume(0, { type: 9 as never }), 'volumes[0].type: 9, wanted'],
  [volume(0, { storageBytes: 0n }), 'volumes[0].storage_bytes: 0, wanted 1 to'],
  [volume(0, { storageBytes: 2n ** 63n }), 'volumes[0].storage_bytes: 9223372036854775808, wanted 1 to'],
  [volume(0, { secret: new Uint8Array(1) }), 'volumes[0].secret: 1 bytes, only a secret has content'],
  [volume(1, { storageBytes: 1n }), 'volumes[1].storage_bytes: 1, a secret has 0'],
  [volume(0, { storageClass: ' nvme' }), 'volumes[0].storage_class: " nvme", wanted 1 to 64'],
  [volume(1, { storageClass: 'nvme' }), 'volumes[1].storage_class: "nvme", a secret has none'],
  [volume(1, { secret: new Uint8Array(262145) }), 'volumes[1].secret: 262145 bytes, at most 262144'],
  [(pod) => (pod.quoteDigest = new Uint8Array(31)), 'quote_digest: 31 bytes, wanted 32, or none'],
  [
    (pod) => (pod.pricing = create(PricingTableSchema, { prices: repeat(65, () => create(PriceSchema)) })),
    'pricing.prices: 65 entries, wanted 0 to 64',
  ],
]

test('a good pod passes, and so it does at the edges', () => {
  checkPod(GOOD)
  const edges: readonly Change[] = [
    replicas(0, 1),
    volume(1, { secret: new Uint8Array(262144) }),
    volume(1, { secret: new Uint8Array() }),
    port(1, { port: 65535, targetPort: 1, hostIp: '::1' }),
    port(1, { port: 8080, protocol: PortProtocol.TCP }),
    web({ args: ['a'.repeat(131071), ''] }),
    (pod) => (pod.quoteDigest = new Uint8Array(32)),
  ]
  for (const change of edges) checkPod(changed(change))
})

function changed(change: Change): Pod {
  const pod = clone(PodSchema, GOOD)
  change(pod, pod.containers[0] ?? create(ContainerSchema))
  return pod
}

test('each thing that a stranger may get wrong is refused by its path, what is there and what may be', () => {
  for (const [change, message] of REFUSED) {
    assert.throws(
      () => checkPod(changed(change)),
      (error) => {
        assert.ok(error instanceof TrustedPodsError, String(error))
        assert.equal(error.code, 'PROVISION_BAD_POD')
        assert.ok(error.message.includes(message), `wanted ${message}, got ${error.message}`)
        assert.ok(error.message.length <= 300)
        return true
      },
      message,
    )
  }
})

test('an empty pod is refused', () => {
  assert.throws(() => checkPod(create(PodSchema)), /containers: 0 entries/)
})

test('a message repeats no secret, little of a stranger’s text, and nothing that moves a cursor', () => {
  const message = (change: Change) => {
    try {
      checkPod(changed(change))
    } catch (error) {
      return String(error)
    }
    return ''
  }
  assert.equal(
    message(web({ env: [create(EnvVarSchema, { name: 'A', value: 'hunter2\0' })] })).includes('hunter2'),
    false,
  )
  assert.ok(message(web({ name: 'x'.repeat(1e6) })).length < 300)
  assert.match(message(web({ name: '\u001b[2J\u202e\u009b' })), /"\uFFFD\[2J\uFFFD\uFFFD"/)
})
