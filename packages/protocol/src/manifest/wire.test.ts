import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { TrustedPodsError } from '../errors.ts'
import { type Pod, PodSchema, VolumeType } from '../gen/trustedpods/v0/pod_pb.ts'
import { PricingTableSchema } from '../gen/trustedpods/v0/pricing_pb.ts'
import { cidOf, MANIFEST, materialsOf } from './arbitrary-manifest.test.ts'
import { checkPod } from './check-pod.ts'
import { fromWire } from './from-wire.ts'
import { parseManifest } from './parse.ts'
import { manifestResources, podResources } from './resources.ts'
import { MAX_POD_BYTES, type PodMaterials, toWire } from './to-wire.ts'

const MANIFEST_TEXT = `type: trustedpods
version: "1.0"
containers:
  - name: web
    image: acme/web
    sources: [https://gateway.example]
    command: sh -c 'exec web'
    args: [--verbose, 1]
    workingDir: /srv
    port: 8080
    host: a.example
    ports: ["127.0.0.1:53:5353/udp"]
    env: {A: 1}
    volumes: [data:/data:ro, {type: secret, mountPath: /key, source: key.pem}]
    resources: {cpu: {quantity: 1500m, model: EPYC}, memory: 1Gi, nvidia.com/gpu: 1}
  - {image: acme/web, resources: {cpu: 1, memory: 1Gi}, volumes: [{type: emptyDir, mountPath: /tmp, resources: {storage: 1k}}]}
volumes:
  - {name: data, type: volume, resources: {storage: 1Gi}}
replicas: {min: 0, max: 2}
`
const IMAGE = { cid: cidOf(1), privateKey: new Uint8Array([1, 2, 3]) }
const MATERIALS: PodMaterials = {
  images: new Map([['acme/web', IMAGE]]),
  secrets: new Map([['key.pem', new Uint8Array([0, 255])]]),
}

test('each field of the manifest has its field on the wire', () => {
  const pricing = create(PricingTableSchema, { chainId: 1n, token: new Uint8Array(20), decimals: 6, symbol: 'USDC' })
  const quoteDigest = new Uint8Array(32).fill(4)
  const pod = toWire(parseManifest(MANIFEST_TEXT), { ...MATERIALS, pricing, quoteDigest })
  const port = { hostIp: '', httpHost: '' }
  const expected = create(PodSchema, {
    containers: [
      {
        name: 'web',
        image: { ...IMAGE, sources: ['https://gateway.example'] },
        command: ['sh', '-c', 'exec web'],
        args: ['--verbose', '1'],
        workingDir: '/srv',
        ports: [
          { ...port, port: 8080, targetPort: 8080, protocol: 1, httpHost: 'a.example' },
          { ...port, port: 53, targetPort: 5353, protocol: 2, hostIp: '127.0.0.1' },
        ],
        env: [{ name: 'A', value: '1' }],
        mounts: [
          { volume: 0, mountPath: '/data', readOnly: true },
          { volume: 1, mountPath: '/key', readOnly: true },
        ],
        resources: [
          { name: 'cpu', quantity: 1500n, selector: 'EPYC' },
          { name: 'memory', quantity: 1073741824n },
          { name: 'nvidia.com/gpu', quantity: 1n },
        ],
      },
      {
        name: 'web-2',
        image: IMAGE,
        mounts: [{ volume: 2, mountPath: '/tmp' }],
        resources: [
          { name: 'cpu', quantity: 1000n },
          { name: 'memory', quantity: 1073741824n },
        ],
      },
    ],
    replicas: { min: 0, max: 2 },
    pricing,
    quoteDigest,
    volumes: [
      { type: VolumeType.VOLUME, storageBytes: 1073741824n },
      { type: VolumeType.SECRET, secret: new Uint8Array([0, 255]) },
      { type: VolumeType.EMPTY_DIR, storageBytes: 1000n },
    ],
  })
  assert.deepEqual(pod, expected)
})

test('the pod holds copies: what the caller changes later does not change it', () => {
  const pricing = create(PricingTableSchema, { symbol: 'USDC' })
  const secret = new Uint8Array([1])
  const materials = { ...MATERIALS, pricing, secrets: new Map([['key.pem', secret]]) }
  const pod = toWire(parseManifest(MANIFEST_TEXT), materials)
  pricing.symbol = 'X'
  secret[0] = 9
  assert.equal(pod.pricing?.symbol, 'USDC')
  assert.deepEqual(pod.volumes[1]?.secret, new Uint8Array([1]))
})

test('an image that was not published, a secret that was not read and what is too large are refused', () => {
  const manifest = parseManifest(MANIFEST_TEXT)
  const code = (materials: PodMaterials, of = manifest) => {
    try {
      toWire(of, materials)
    } catch (error) {
      return error instanceof TrustedPodsError ? `${error.code}: ${error.message}` : String(error)
    }
    return undefined
  }
  assert.equal(
    code({ ...MATERIALS, images: new Map() }),
    'MANIFEST_IMAGE_NOT_FOUND: container web: image acme/web was not published',
  )
  assert.equal(
    code({ ...MATERIALS, secrets: new Map() }),
    'MANIFEST_UNREADABLE: secret key: the file key.pem was not read',
  )
  const large = code({ ...MATERIALS, secrets: new Map([['key.pem', new Uint8Array(262145)]]) })
  assert.equal(large, 'MANIFEST_INVALID: secret key: key.pem has 262145 bytes, at most 262144 are taken')
  const volumes = Array.from({ length: 8 }, (_, index) => ({
    kind: 'secret' as const,
    name: `s${index}`,
    content: { kind: 'value' as const, value: 'x'.repeat(262144) },
  }))
  assert.match(
    code(MATERIALS, { ...manifest, volumes }) ?? '',
    new RegExp(`MANIFEST_INVALID: the pod has \\d+ bytes encoded, at most ${MAX_POD_BYTES}`),
  )
})

test('a pod read from the wire and written again is the same pod, byte for byte', () => {
  fc.assert(
    fc.property(MANIFEST, (manifest) => {
      const pod = toWire(manifest, materialsOf(manifest))
      const bytes = toBinary(PodSchema, pod)
      const unpacked = fromWire(fromBinary(PodSchema, bytes))
      const again = toWire(unpacked.manifest, unpacked.materials)
      assert.deepEqual(again, pod)
      assert.deepEqual(toBinary(PodSchema, again), bytes)
    }),
  )
})

test('what the wire carries of a manifest comes back: all but the names of images and volumes', () => {
  fc.assert(
    fc.property(MANIFEST, (manifest) => {
      const { manifest: back } = fromWire(toWire(manifest, materialsOf(manifest)))
      const nameless = ({ image: _, ...rest }: (typeof back.containers)[number]) => rest
      assert.deepEqual(back.containers.map(nameless), manifest.containers.map(nameless))
      assert.deepEqual(back.replicas, manifest.replicas)
      assert.deepEqual(
        back.volumes.map(({ kind }) => kind),
        manifest.volumes.map(({ kind }) => kind),
      )
    }),
  )
})

test('two keys for one image and one key for two containers both come back', () => {
  const two = `${MANIFEST_TEXT.replace('  - {image: acme/web,', '  - {image: acme/web, name: b, resources: {cpu: 1, memory: 1Gi}}\n  - {image: acme/other,')}`
  const images = new Map([...MATERIALS.images, ['acme/other', { ...IMAGE, privateKey: new Uint8Array([4]) }]])
  const pod = toWire(parseManifest(two), { ...MATERIALS, images })
  const { manifest, materials } = fromWire(pod)
  const cid = 'ipfs://bafybeiabaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibae'
  assert.deepEqual(
    manifest.containers.map(({ image }) => image),
    [cid, cid, `${cid}#2`],
  )
  assert.deepEqual(toWire(manifest, materials), pod)
})

test('what every manifest becomes passes the provider’s check, and asks for the same before and after', () => {
  fc.assert(
    fc.property(MANIFEST, (manifest) => {
      const pod = toWire(manifest, materialsOf(manifest))
      checkPod(pod)
      assert.deepEqual(podResources(pod), manifestResources(manifest))
    }),
  )
})

test('a pod cut at any byte is refused: volumes, which containers refer to, come last', () => {
  const bytes = toBinary(PodSchema, toWire(parseManifest(MANIFEST_TEXT), MATERIALS))
  for (let length = 0; length < bytes.length; length++) {
    let pod: Pod
    try {
      pod = fromBinary(PodSchema, bytes.subarray(0, length))
    } catch {
      continue // no Protobuf message
    }
    assert.throws(() => checkPod(pod), isBadPod, `cut at ${length}`)
    assert.throws(() => fromWire(pod), isBadPod, `cut at ${length}`)
  }
})

test('a pod with any bytes changed is checked or refused, and nothing else is thrown', () => {
  const bytes = toBinary(PodSchema, toWire(parseManifest(MANIFEST_TEXT), MATERIALS))
  const change = fc.record({ at: fc.nat(bytes.length - 1), value: fc.nat(255) })
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      const changed = bytes.slice()
      for (const { at, value } of changes) changed[at] = value
      let pod: Pod
      try {
        pod = fromBinary(PodSchema, changed)
      } catch {
        return // no Protobuf message
      }
      try {
        const { manifest, materials } = fromWire(pod)
        toWire(manifest, materials)
      } catch (error) {
        assert.ok(isBadPod(error), String(error))
      }
    }),
    { numRuns: 2000 },
  )
})

function isBadPod(error: unknown): boolean {
  return error instanceof TrustedPodsError && error.code === 'PROVISION_BAD_POD'
}
