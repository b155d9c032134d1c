import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type MemberContext, type RenderedContainer, renderInfra, renderMember } from './container-spec.ts'
import type { ImageRef, PodSpec } from './pod-runtime.ts'
import { requireAsCreated } from './verify-created.ts'

const context: MemberContext = {
  owner: 'me',
  sandbox: 'runsc',
  dns: ['192.0.2.53'],
  infraImage: 'infra',
  infraId: 'f00d',
  cgroupParent: '/trusted-pods/me/1',
  secretFiles: new Map([[1, '/secrets/uid-0']]),
}

const pod: PodSpec = {
  podId: 'ab'.repeat(32),
  volumes: [
    { kind: 'volume', sizeBytes: 1n },
    { kind: 'secret', sizeBytes: 0n, secret: new Uint8Array(1) },
  ],
  containers: [
    {
      name: 'web',
      image: 'image' as ImageRef,
      command: ['serve'],
      args: ['--now'],
      workingDir: '/srv',
      env: [{ name: 'TOKEN', value: 'hush' }],
      mounts: [
        { volume: 0, mountPath: '/data', readOnly: true },
        { volume: 1, mountPath: '/key', readOnly: false },
      ],
      ports: [{ port: 1, targetPort: 80, protocol: 'tcp', hostIp: '', httpHost: '' }],
      cpuMillis: 500n,
      memoryBytes: 64n << 20n,
      gpus: 1,
      devices: [{ kind: 'nvidia', id: '0' }],
    },
  ],
}

function rendered(): { infra: RenderedContainer; member: RenderedContainer } {
  const [web] = pod.containers
  assert.ok(web)
  return { infra: renderInfra(pod, context), member: renderMember(pod, web, context) }
}

/** What an honest engine says of it: all of it, some fields of its own, and empty ones left out. */
function inspectionOf({ body }: RenderedContainer): { Image: string; Config: object; HostConfig: object } {
  const { HostConfig, Image: _, ...config } = structuredClone(body)
  const hostConfig = Object.entries(Object(HostConfig)).filter(([, value]) => value !== '' && value !== false)
  return {
    Image: 'sha256:1',
    Config: {
      Cmd: null,
      Entrypoint: null,
      ...config,
      Env: ['PATH=/bin', ...(Array.isArray(config.Env) ? config.Env : [])],
    },
    HostConfig: { ...Object.fromEntries(hostConfig), ShmSize: 67108864, Devices: null, CapAdd: null },
  }
}

function mismatch(message: RegExp) {
  return (error: unknown) =>
    error instanceof TrustedPodsError &&
    error.code === 'PROVISION_RUNTIME_MISMATCH' &&
    message.test(error.message) &&
    !error.message.includes('hush')
}

test('what an honest engine says is taken', () => {
  for (const container of Object.values(rendered())) {
    requireAsCreated(container, { inspection: inspectionOf(container), imageId: 'sha256:1' })
  }
})

test('each limit and option that is missing or other than asked is refused by name', () => {
  for (const container of Object.values(rendered())) {
    const fields = Object.entries(Object(container.body.HostConfig)).filter(([, value]) => !isEmpty(value))
    assert.ok(fields.length >= 12)
    for (const [name, value] of fields) {
      for (const seen of [undefined, otherThan(value)]) {
        const inspection = inspectionOf(container)
        const tampered = { ...inspection, HostConfig: { ...inspection.HostConfig, [name]: seen } }
        const verify = () => requireAsCreated(container, { inspection: tampered, imageId: 'sha256:1' })
        assert.throws(verify, mismatch(new RegExp(`HostConfig\\.${name}`)), `${name} = ${JSON.stringify(seen)}`)
      }
    }
  }
})

function isEmpty(value: unknown): boolean {
  return (
    value === '' || value === false || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
  )
}

function otherThan(value: unknown): unknown {
  if (typeof value === 'number') return value + 1
  if (typeof value === 'boolean') return !value
  if (Array.isArray(value)) return [...value, 'more']
  return typeof value === 'object' ? { Type: 'other', Name: 'always' } : `${String(value)}x`
}

test('rights that nobody asked for are refused', () => {
  const { member } = rendered()
  const rights = { Privileged: true, CapAdd: ['SYS_ADMIN'], PidMode: 'host', Devices: [{ PathOnHost: '/dev/mem' }] }
  for (const [name, value] of Object.entries(rights)) {
    const inspection = inspectionOf(member)
    const tampered = { ...inspection, HostConfig: { ...inspection.HostConfig, [name]: value } }
    assert.throws(
      () => requireAsCreated(member, { inspection: tampered, imageId: 'sha256:1' }),
      mismatch(new RegExp(name)),
    )
  }
})

test('another image, command, label or variable is refused; a variable’s value is not told', () => {
  const { member } = rendered()
  const inspection = inspectionOf(member)
  assert.throws(() => requireAsCreated(member, { inspection, imageId: 'sha256:2' }), mismatch(/^the engine.*Image is/))
  const changes = { Cmd: ['hush'], Entrypoint: ['other'], WorkingDir: '/', Labels: {}, Env: ['TOKEN=other'] }
  for (const [name, value] of Object.entries(changes)) {
    const tampered = { ...inspection, Config: { ...inspection.Config, [name]: value } }
    assert.throws(
      () => requireAsCreated(member, { inspection: tampered, imageId: 'sha256:1' }),
      mismatch(new RegExp(`Config\\.${name}`)),
    )
  }
  assert.throws(() => requireAsCreated(member, { inspection: undefined, imageId: 'sha256:1' }), mismatch(/Image/))
})

test('a container that asks for nothing beyond its image is taken with what the image says', () => {
  const [first] = pod.containers
  assert.ok(first)
  const plain = { ...first, command: [], args: [], workingDir: '', env: [], gpus: 0, devices: [] }
  const container = renderMember(pod, plain, context)
  const inspection = inspectionOf(container)
  Object.assign(inspection.Config, { Cmd: ['httpd'], Entrypoint: null, WorkingDir: '/srv' })
  requireAsCreated(container, { inspection, imageId: 'sha256:1' })
})
