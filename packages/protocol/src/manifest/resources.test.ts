import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { PodSchema, PortProtocol, type Resource, VolumeType } from '../gen/trustedpods/v0/pod_pb.ts'
import { MANIFEST, materialsOf } from './arbitrary-manifest.test.ts'
import { podResources } from './resources.ts'
import { toWire } from './to-wire.ts'

const plain = (resources: readonly Resource[]) =>
  resources.map(({ name, quantity, selector }) => (selector === '' ? [name, quantity] : [name, quantity, selector]))

test('one replica needs the sum of its containers, its volumes and its published ports', () => {
  const tcp = { port: 1, targetPort: 1, protocol: PortProtocol.TCP }
  const pod = create(PodSchema, {
    containers: [
      {
        ports: [{ ...tcp, httpHost: 'a.example' }, tcp],
        resources: [
          { name: 'nvidia.com/gpu', quantity: 1n, selector: 'H100' },
          { name: 'memory', quantity: 5n },
          { name: 'cpu', quantity: 100n, selector: 'EPYC' },
        ],
      },
      {
        ports: [{ ...tcp, port: 2, protocol: PortProtocol.UDP }],
        resources: [
          { name: 'cpu', quantity: 50n },
          { name: 'memory', quantity: 7n },
          { name: 'nvidia.com/gpu', quantity: 2n, selector: 'A100' },
        ],
      },
      { resources: [{ name: 'cpu', quantity: 7n, selector: 'EPYC' }] },
    ],
    replicas: { min: 1, max: 9 },
    volumes: [
      { type: VolumeType.VOLUME, storageBytes: 1000n },
      { type: VolumeType.EMPTY_DIR, storageBytes: 24n },
      { type: VolumeType.VOLUME, storageBytes: 5n, storageClass: 'nvme' },
      { type: VolumeType.VOLUME, storageBytes: 6n, storageClass: 'nvme' },
      { type: VolumeType.SECRET, secret: new Uint8Array(9) },
    ],
  })
  assert.deepEqual(plain(podResources(pod)), [
    ['cpu', 50n],
    ['cpu', 107n, 'EPYC'],
    ['memory', 12n],
    ['storage', 1024n],
    ['storage', 11n, 'nvme'],
    ['nvidia.com/gpu', 2n, 'A100'],
    ['nvidia.com/gpu', 1n, 'H100'],
    ['trustedpods/port', 2n],
  ])
})

test('nothing is asked for what is not there', () => {
  assert.deepEqual(podResources(create(PodSchema)), [])
})

test('nothing that a manifest asks for is lost or counted twice', () => {
  fc.assert(
    fc.property(MANIFEST, (manifest) => {
      const totals = podResources(toWire(manifest, materialsOf(manifest)))
      const total = (name: string) =>
        totals.filter((entry) => entry.name === name).reduce((sum, entry) => sum + entry.quantity, 0n)
      for (const name of ['cpu', 'memory', 'nvidia.com/gpu']) {
        const wanted = manifest.containers.flatMap(({ resources }) =>
          resources.filter((resource) => resource.name === name),
        )
        assert.equal(
          total(name),
          wanted.reduce((sum, { quantity }) => sum + quantity, 0n),
        )
      }
      const sizes = manifest.volumes.map((volume) => (volume.kind === 'secret' ? 0n : volume.storageBytes))
      assert.equal(
        total('storage'),
        sizes.reduce((sum, size) => sum + size, 0n),
      )
      const keys = totals.map(({ name, selector }) => JSON.stringify([name, selector]))
      assert.equal(new Set(keys).size, keys.length)
    }),
  )
})
