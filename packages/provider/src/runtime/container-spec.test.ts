import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at } from '@trusted-pods/platform/engine/json-view.ts'
import { renderMember } from './container-spec.ts'
import type { ContainerSpec, ImageRef } from './pod-runtime.ts'
import { refused } from './test-runtime.ts'

/** The devices that the engine is asked for. */
function devicesOf(gpus: Pick<ContainerSpec, 'gpus' | 'devices'>): unknown {
  const body = bodyOf(gpus)
  return [at(body, 'HostConfig', 'DeviceRequests'), at(body, 'HostConfig', 'Devices')]
}

function bodyOf(gpus: Partial<ContainerSpec> & Pick<ContainerSpec, 'gpus'>): unknown {
  const none = { command: [], args: [], workingDir: '', env: [], mounts: [], ports: [] }
  const spec = { name: 'x', image: 'x' as ImageRef, cpuMillis: 100n, memoryBytes: 64n << 20n, ...none, ...gpus }
  const pod = { podId: 'a'.repeat(64), containers: [spec], volumes: [] }
  const context = {
    owner: 'o',
    sandbox: 'runc' as const,
    dns: [],
    infraImage: 'i',
    infraId: 'i',
    secretFiles: new Map(),
  }
  return renderMember(pod, spec, context).body
}

const nvidia = (id: string) => ({ kind: 'nvidia', id }) as const

test('GPUs are asked for by the names that the container was given, each in its way, and none without', () => {
  assert.deepEqual(devicesOf({ gpus: 0 }), [[], []])
  assert.deepEqual(devicesOf({ gpus: 2, devices: [nvidia('GPU-b'), nvidia('GPU-a')] }), [
    [{ Driver: 'nvidia', DeviceIDs: ['GPU-b', 'GPU-a'], Capabilities: [['gpu']] }],
    [],
  ])
  assert.deepEqual(devicesOf({ gpus: 1, devices: [{ kind: 'cdi', name: 'amd.com/gpu=0' }] }), [
    [{ Driver: 'cdi', DeviceIDs: ['amd.com/gpu=0'] }],
    [],
  ])
  const node = (path: string) => ({ PathOnHost: path, PathInContainer: path, CgroupPermissions: 'rw' })
  const render = (path: string) => ({ kind: 'nodes', paths: [path], control: ['/dev/kfd'] }) as const
  assert.deepEqual(devicesOf({ gpus: 2, devices: [render('/dev/dri/a'), render('/dev/dri/b')] }), [
    [],
    [node('/dev/dri/a'), node('/dev/kfd'), node('/dev/dri/b')],
  ])
})

test('no manifest and no image can name the devices that NVIDIA’s runtime shows it', () => {
  const env = [
    { name: 'NVIDIA_VISIBLE_DEVICES', value: 'all' },
    { name: 'A', value: 'b' },
  ]
  assert.deepEqual(at(bodyOf({ gpus: 0, env }), 'Env'), ['A=b', 'NVIDIA_VISIBLE_DEVICES=void'])
  const cdi = [{ kind: 'cdi', name: 'amd.com/gpu=0' }] as const
  assert.deepEqual(at(bodyOf({ gpus: 1, devices: cdi, env }), 'Env'), ['A=b', 'NVIDIA_VISIBLE_DEVICES=void'])
  assert.deepEqual(at(bodyOf({ gpus: 1, devices: [nvidia('0')], env }), 'Env'), ['A=b'])
})

test('GPUs that were not given one by one are refused with PROVISION_RUNTIME_MISMATCH', () => {
  for (const gpus of [
    { gpus: 1 },
    { gpus: 1, devices: [] },
    { gpus: 2, devices: [nvidia('0')] },
    { gpus: 2, devices: [nvidia('0'), nvidia('0')] },
    { gpus: 0, devices: [nvidia('0')] },
  ]) {
    assert.throws(() => devicesOf(gpus), refused('PROVISION_RUNTIME_MISMATCH', /asks for \d GPUs/))
  }
})
