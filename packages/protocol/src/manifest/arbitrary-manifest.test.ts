/** Random manifests in normal form, and what publishing them would give: for the property tests beside this file. */
import { create } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { PriceKind, PricingTableSchema } from '../gen/trustedpods/v0/pricing_pb.ts'
import type {
  ContainerManifest,
  Manifest,
  MountManifest,
  PortManifest,
  ResourceManifest,
  VolumeManifest,
} from './manifest.ts'
import { mountsClash } from './mounts-clash.ts'
import { portsClash } from './ports-clash.ts'
import { CONTAINER_RESOURCE_NAMES, resourceKind } from './resource-names.ts'
import type { PodMaterials } from './to-wire.ts'

const LABEL = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/)
/** Any text but NUL, in whole characters. */
const TEXT = fc.string({ unit: 'binary', maxLength: 12 }).filter((text) => !text.includes('\0'))
const PATH = fc
  .array(fc.stringMatching(/^[\w-][\w.-]{0,6}$/), { minLength: 1, maxLength: 3 })
  .map((parts) => `/${parts.join('/')}`)
const MOUNT_PATH = PATH.filter((path) => !/^\/(proc|sys|dev)(\/|$)/.test(path))

const PORT: fc.Arbitrary<PortManifest> = fc
  .record({
    port: fc.integer({ min: 1, max: 65535 }),
    targetPort: fc.integer({ min: 1, max: 65535 }),
    protocol: fc.constantFrom<'tcp' | 'udp'>('tcp', 'udp'),
    hostIp: fc.oneof(fc.constant(''), fc.ipV4(), fc.constant('::1')),
    httpHost: fc.oneof(
      fc.constant(''),
      LABEL.map((label) => `${label}.example`),
    ),
  })
  .map((port) => (port.httpHost === '' ? port : { ...port, protocol: 'tcp', hostIp: '' }))

const RESOURCES: fc.Arbitrary<readonly ResourceManifest[]> = fc
  .subarray([...CONTAINER_RESOURCE_NAMES])
  .map((names) =>
    CONTAINER_RESOURCE_NAMES.filter((name) => name === 'cpu' || name === 'memory' || names.includes(name)),
  )
  .chain((names) =>
    fc.tuple(
      ...names.map((name) =>
        fc.record({
          name: fc.constant(name),
          quantity: fc.bigInt(1n, 2n ** 50n),
          selector:
            resourceKind(name).selectorKey === undefined ? fc.constant('') : fc.constantFrom('', 'H100', 'AMD EPYC'),
        }),
      ),
    ),
  )

const VOLUME: fc.Arbitrary<VolumeManifest> = fc.oneof(
  fc.record(
    {
      kind: fc.constantFrom('volume', 'emptyDir'),
      name: LABEL,
      storageBytes: fc.bigInt(1n, 2n ** 50n),
      storageClass: fc.constantFrom('nvme', 'ssd'),
    },
    { requiredKeys: ['kind', 'name', 'storageBytes'] },
  ),
  fc.record({
    kind: fc.constant('secret'),
    name: LABEL,
    content: fc.oneof(
      fc.record({ kind: fc.constant('value'), value: TEXT }),
      fc.record({ kind: fc.constant('source'), source: LABEL }),
    ),
  }),
)

function mountsOf(volumes: readonly VolumeManifest[]): fc.Arbitrary<readonly MountManifest[]> {
  if (volumes.length === 0) return fc.constant([])
  const isSecret = (volume: number) => volumes[volume]?.kind === 'secret'
  return fc
    .array(fc.record({ volume: fc.nat(volumes.length - 1), mountPath: MOUNT_PATH, readOnly: fc.boolean() }), {
      maxLength: 5,
    })
    .map((mounts) => mounts.map((mount) => ({ ...mount, readOnly: mount.readOnly || isSecret(mount.volume) })))
    .map((mounts) =>
      mounts.filter((mount, index) => !mounts.slice(0, index).some((other) => mountsClash(other, mount, isSecret))),
    )
}

function containersOf(volumes: readonly VolumeManifest[]): fc.Arbitrary<readonly ContainerManifest[]> {
  const container = fc.record({
    name: LABEL,
    image: fc.constantFrom(
      'nginx',
      'ghcr.io/acme/web:1',
      'redis@sha256:0000000000000000000000000000000000000000000000000000000000000000',
    ),
    sources: fc.uniqueArray(
      fc.constantFrom(
        'https://gateway.example',
        'https://gateway.example:8443',
        `/dns4/a.example/tcp/4001/p2p/${PEER_ID}`,
      ),
    ),
    command: fc.array(TEXT, { maxLength: 3 }),
    args: fc.array(TEXT, { maxLength: 3 }),
    workingDir: fc.oneof(fc.constant(''), PATH),
    ports: fc.array(PORT, { maxLength: 4 }),
    env: fc.uniqueArray(fc.record({ name: fc.stringMatching(/^[A-Za-z_.-][\w.-]{0,6}$/), value: TEXT }), {
      selector: ({ name }) => name,
      maxLength: 4,
    }),
    mounts: mountsOf(volumes),
    resources: RESOURCES,
  })
  return fc.uniqueArray(container, { selector: ({ name }) => name, minLength: 1, maxLength: 4 }).map(withoutPortClashes)
}

function withoutPortClashes(containers: readonly ContainerManifest[]): ContainerManifest[] {
  const kept: PortManifest[] = []
  return containers.map((container) => ({
    ...container,
    ports: container.ports.filter((port) => {
      const free = !kept.some((other) => portsClash(other, port))
      if (free) kept.push(port)
      return free
    }),
  }))
}

export const MANIFEST: fc.Arbitrary<Manifest> = fc
  .uniqueArray(VOLUME, { selector: ({ name }) => name, maxLength: 4 })
  .chain((volumes) =>
    fc.record({
      containers: containersOf(volumes),
      replicas: fc.record({ min: fc.integer({ min: 1, max: 3 }), max: fc.integer({ min: 3, max: 1000 }) }),
      volumes: fc.constant(volumes),
    }),
  )
  // fast-check makes some objects without a prototype.
  .map((manifest) => structuredClone(manifest))

/** Of a peer that nobody is. */
const PEER_ID = '12D3KooWGzBXxQhXhbHTHzh2DVx7v1nVxJ5nEMVmWkzPjU2Fk8oS'

/** A CIDv1 (dag-pb, sha2-256) of a digest of 32 equal bytes. */
export function cidOf(byte: number): Uint8Array {
  return CID.createV1(0x70, createDigest(0x12, new Uint8Array(32).fill(byte))).bytes
}

/** Images and secrets for everything that a manifest names, different for each name. */
export function materialsOf(manifest: Manifest): PodMaterials {
  const texts = [...new Set(manifest.containers.map(({ image }) => image))]
  const sources = manifest.volumes.flatMap((volume) =>
    volume.kind === 'secret' && volume.content.kind === 'source' ? [volume.content.source] : [],
  )
  return {
    images: new Map(
      texts.map((text, index) => [text, { cid: cidOf(index), privateKey: new Uint8Array(138).fill(index + 1) }]),
    ),
    secrets: new Map(sources.map((source) => [source, new TextEncoder().encode(`\0secret of ${source}`)])),
    pricing: create(PricingTableSchema, {
      chainId: 31337n,
      token: new Uint8Array(20).fill(7),
      decimals: 6,
      symbol: 'USDC',
      prices: [{ resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n }],
    }),
    quoteDigest: new Uint8Array(32).fill(9),
  }
}
