import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at } from '@trusted-pods/platform/engine/json-view.ts'
import { renderMember } from './container-spec.ts'
import type { ContainerSpec, ImageRef } from './pod-runtime.ts'
import { refused } from './test-runtime.ts'

/** The devices that the engine is asked for. */
function devicesOf(gpus: Pick<ContainerSpec, 'gpus' | 'gpuDevices'>): unknown {
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
  return at(renderMember(pod, spec, context).body, 'HostConfig', 'DeviceRequests')
}

test('GPUs are asked for by the ids that the container was given, and none without', () => {
  assert.deepEqual(devicesOf({ gpus: 0 }), [])
  assert.deepEqual(devicesOf({ gpus: 2, gpuDevices: ['GPU-b', 'GPU-a'] }), [
    { Driver: 'nvidia', DeviceIDs: ['GPU-b', 'GPU-a'], Capabilities: [['gpu']] },
  ])
})

test('GPUs that were not given one by one are refused with PROVISION_RUNTIME_MISMATCH', () => {
  for (const gpus of [
    { gpus: 1 },
    { gpus: 1, gpuDevices: [] },
    { gpus: 2, gpuDevices: ['0'] },
    { gpus: 2, gpuDevices: ['0', '0'] },
    { gpus: 0, gpuDevices: ['0'] },
  ]) {
    assert.throws(() => devicesOf(gpus), refused('PROVISION_RUNTIME_MISMATCH', /asks for \d GPUs/))
  }
})
