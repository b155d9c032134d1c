import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TrustedPodsError } from '../errors.ts'
import type { ContainerManifest, Manifest } from './manifest.ts'
import { checkManifest, parseManifest } from './parse.ts'
import { formatProblem } from './problem.ts'

const RESOURCES = 'resources: {cpu: 100m, memory: 64Mi}'

/** A manifest of one container with the given further lines. */
function withContainer(lines: string, rest = ''): string {
  const indented = lines.split('\n').map((line) => `    ${line}\n`)
  return `type: trustedpods\nversion: "1.0"\ncontainers:\n  - image: nginx\n    ${RESOURCES}\n${indented.join('')}${rest}`
}

function containerOf(lines: string, rest = ''): ContainerManifest {
  const [container] = parseManifest(withContainer(lines, rest)).containers
  assert.ok(container)
  return container
}

test('the least manifest is one image with its cpu and memory', () => {
  const expected: Manifest = {
    containers: [
      {
        name: 'nginx',
        image: 'nginx',
        sources: [],
        command: [],
        args: [],
        workingDir: '',
        ports: [],
        env: [],
        mounts: [],
        resources: [
          { name: 'cpu', quantity: 100n, selector: '' },
          { name: 'memory', quantity: 67108864n, selector: '' },
        ],
      },
    ],
    replicas: { min: 1, max: 1 },
    volumes: [],
  }
  assert.deepEqual(checkManifest(withContainer('')), { manifest: expected, problems: [] })
})

test('every form of a port comes to the same shape', () => {
  const forms: readonly [text: string, shape: readonly [number, number, string, string, string]][] = [
    ['ports: [123]', [123, 123, 'tcp', '', '']],
    ['ports: ["123"]', [123, 123, 'tcp', '', '']],
    ['ports: [123/udp]', [123, 123, 'udp', '', '']],
    ['ports:\n- 123:321', [123, 321, 'tcp', '', '']],
    ['ports: ["8080:80/udp"]', [8080, 80, 'udp', '', '']],
    ['ports: ["8080:80/TCP"]', [8080, 80, 'tcp', '', '']],
    ['ports: ["127.0.0.1:8080:80"]', [8080, 80, 'tcp', '127.0.0.1', '']],
    ['ports: ["[::1]:8080:80/udp"]', [8080, 80, 'udp', '::1', '']],
    ['ports: [{port: 5}]', [5, 5, 'tcp', '', '']],
    ['ports: [{targetPort: "6"}]', [6, 6, 'tcp', '', '']],
    ['ports: [{port: 5, targetPort: 6, protocol: UDP, hostIP: 10.0.0.1}]', [5, 6, 'udp', '10.0.0.1', '']],
    ['ports: [{targetPort: 6, host: A.Example}]', [6, 6, 'tcp', '', 'a.example']],
    ['port: 8080', [8080, 8080, 'tcp', '', '']],
    ['port: 8080\nhost: a.example', [8080, 8080, 'tcp', '', 'a.example']],
  ]
  for (const [text, [port, targetPort, protocol, hostIp, httpHost]] of forms) {
    assert.deepEqual(containerOf(text).ports, [{ port, targetPort, protocol, hostIp, httpHost }], text)
  }
})

test('a command is a list as written or a line split as by a shell', () => {
  assert.deepEqual(containerOf('command: sh -c "a b"').command, ['sh', '-c', 'a b'])
  assert.deepEqual(containerOf('command: [a b, 1.0, 0x10, true, "", "7"]').command, [
    'a b',
    '1.0',
    '0x10',
    'true',
    '',
    '7',
  ])
  assert.deepEqual(containerOf('args: |\n  -a\n').args, ['-a'])
})

test('variables keep numbers and booleans as they were written', () => {
  const values = [
    { name: 'A', value: '1.0' },
    { name: 'B', value: 'TRUE' },
    { name: 'C', value: '' },
    { name: 'D.x-y', value: '1:30' },
    { name: 'E', value: 'no' },
    { name: 'F', value: '0012' },
  ]
  assert.deepEqual(containerOf('env: {A: 1.0, B: TRUE, C: "", D.x-y: 1:30, E: no, F: 0012}').env, values)
  const list = values.map(({ name, value }) => `- {name: ${name}, value: ${value === '' ? '""' : value}}`).join('\n')
  assert.deepEqual(containerOf(`env:\n${list}`).env, values)
})

test('volumes by name, in short and inline come to indexes, named ones first', () => {
  const text = withContainer(
    `volumes:
  - {type: secret, mountPath: /run/key/, value: k}
  - data:/a
  - data:/b:ro
  - {name: tmp, mountPath: //c/, readOnly: true}
  - {type: emptyDir, mountPath: /run/key2, resources: {storage: 1k}, readOnly: true}`,
    `volumes:
  - {name: data, type: volume, resources: {storage: 1Gi}}
  - {name: tmp, type: emptyDir, resources: {storage: 1Mi}}
`,
  )
  const { manifest, problems } = checkManifest(text)
  assert.deepEqual(problems, [])
  assert.deepEqual(manifest?.volumes, [
    { kind: 'volume', name: 'data', storageBytes: 1073741824n },
    { kind: 'emptyDir', name: 'tmp', storageBytes: 1048576n },
    { kind: 'secret', name: 'run-key', content: { kind: 'value', value: 'k' } },
    { kind: 'emptyDir', name: 'run-key2', storageBytes: 1000n },
  ])
  assert.deepEqual(manifest?.containers[0]?.mounts, [
    { volume: 2, mountPath: '/run/key', readOnly: true },
    { volume: 0, mountPath: '/a', readOnly: false },
    { volume: 0, mountPath: '/b', readOnly: true },
    { volume: 1, mountPath: '/c', readOnly: true },
    { volume: 3, mountPath: '/run/key2', readOnly: true },
  ])
})

test('resources are whole units in one order, a model may be asked for, nothing of a device is no request', () => {
  const text = `type: trustedpods
version: 1.0
containers:
  - image: a
    resources:
      nvidia.com/gpu: {quantity: 2, model: H100 SXM}
      memory: 1.5Gi
      trustedpods/ip: 0
      cpu: {quantity: 0.5}
      ephemeral-storage: {quantity: 10G, class: nvme}
`
  assert.deepEqual(parseManifest(text).containers[0]?.resources, [
    { name: 'cpu', quantity: 500n, selector: '' },
    { name: 'memory', quantity: 1610612736n, selector: '' },
    { name: 'ephemeral-storage', quantity: 10000000000n, selector: 'nvme' },
    { name: 'nvidia.com/gpu', quantity: 2n, selector: 'H100 SXM' },
  ])
})

test('names are derived from images around the names that are given', () => {
  const images = [
    'ghcr.io/a/web_app:1@sha256:0000000000000000000000000000000000000000000000000000000000000000',
    'x/web-app',
    '{image: z, name: web-app-2}',
    'oci:./…',
  ]
  const items = images.map((image) =>
    image.startsWith('{') ? `{${image.slice(1, -1)}, ${RESOURCES}}` : `{image: "${image}", ${RESOURCES}}`,
  )
  const text = `type: trustedpods\nversion: "1.0"\ncontainers:\n${items.map((item) => `  - ${item}\n`).join('')}`
  const names = parseManifest(text).containers.map(({ name }) => name)
  assert.deepEqual(names, ['web-app', 'web-app-3', 'web-app-2', 'container'])
})

test('one bound of replicas gives the other', () => {
  const replicas = (text: string) => parseManifest(withContainer('port: 1\nhost: a', `replicas: ${text}\n`)).replicas
  assert.deepEqual(replicas('{min: 0}'), { min: 0, max: 1 })
  assert.deepEqual(replicas('{min: 3}'), { min: 3, max: 3 })
  assert.deepEqual(replicas('{max: 5}'), { min: 1, max: 5 })
  assert.deepEqual(replicas('{}'), { min: 1, max: 1 })
})

test('what is not asked for is reserved all the same, and said', () => {
  const text =
    'type: trustedpods\nversion: "1.0"\ncontainers:\n  - image: a\n    volumes: [{type: volume, mountPath: /d}]\n'
  const { manifest, problems } = checkManifest(text)
  assert.deepEqual(manifest?.containers[0]?.resources, [
    { name: 'cpu', quantity: 100n, selector: '' },
    { name: 'memory', quantity: 134217728n, selector: '' },
  ])
  assert.deepEqual(manifest?.volumes, [{ kind: 'volume', name: 'd', storageBytes: 1073741824n }])
  assert.deepEqual(problems.map(formatProblem), [
    'manifest:4:5: warning: no cpu is asked for: 100m will be reserved and paid for (add resources: {cpu: 100m})',
    'manifest:4:5: warning: no memory is asked for: 128Mi will be reserved and paid for (add resources: {memory: 128Mi})',
    'manifest:5:15: warning: no storage is asked for: 1Gi will be reserved and paid for (add resources: {storage: 1Gi})',
  ])
})

test('all problems are told in one run, in the order of the file', () => {
  const text = 'type: trustedpod\nversion: 2\ncontainers:\n  - imag: a\n    ports: [0]\nvolums: []\n'
  const expected = [
    'pod.yml:1:7: type is "trustedpod", wanted trustedpods',
    'pod.yml:2:10: version is 2, wanted 1.0',
    'pod.yml:4:5: unknown key "imag" (did you mean image?)',
    'pod.yml:4:5: the container has no image (such as image: docker.io/library/nginx:1.29)',
    'pod.yml:5:13: 0 is no port, wanted 8080, "8080:80", "8080:80/udp" or "127.0.0.1:8080:80" (ports are 1 to 65535, protocols tcp and udp)',
    'pod.yml:6:1: unknown key "volums" (did you mean volumes?)',
  ]
  const { manifest, problems } = checkManifest(text, { file: 'pod.yml' })
  assert.equal(manifest, undefined)
  assert.deepEqual(problems.filter((problem) => problem.severity === 'error').map(formatProblem), expected)
  assert.throws(
    () => parseManifest(text, { file: 'pod.yml' }),
    (error) => {
      assert.ok(error instanceof TrustedPodsError)
      assert.equal(error.code, 'MANIFEST_INVALID')
      assert.equal(error.message, expected.join('\n'))
      return true
    },
  )
})

test('a problem has its path and severity beside its place', () => {
  const [problem] = checkManifest(withContainer('env: {"a b": x}')).problems
  const message = '"a b" is no name of a variable, wanted letters, digits, _, . and -, no digit first, at most 256'
  assert.deepEqual(problem, { line: 6, column: 11, path: 'containers[0].env["a b"]', message, severity: 'error' })
})

test('YAML that is not taken is MANIFEST_SYNTAX, whatever else is wrong', () => {
  const code = (text: string) => {
    try {
      parseManifest(text)
    } catch (error) {
      return error instanceof TrustedPodsError ? error.code : error
    }
    return undefined
  }
  assert.equal(code('a: 1\na: 2'), 'MANIFEST_SYNTAX')
  assert.equal(code('a: "x'), 'MANIFEST_SYNTAX')
  assert.equal(code(''), 'MANIFEST_INVALID')
  assert.equal(code('a: 1'), 'MANIFEST_INVALID')
})

test('a byte order mark, CRLF and comments change nothing', () => {
  const text = withContainer('env: {A: b}')
  const windows = `\uFEFF# a comment\r\n${text.replaceAll('\n', '\r\n')}`
  assert.deepEqual(parseManifest(windows), parseManifest(text))
})

test('a manifest cut at any character is read or refused, and never throws anything else', () => {
  const text = withContainer(
    'command: sh -c "a b"\nports: ["127.0.0.1:8080:80/udp"]\nenv: {A: "b"}\nvolumes: [data:/d]',
    'volumes:\n  - {name: data, type: secret, value: |-\n      x}\nreplicas: {min: 1}\n',
  )
  for (let length = 0; length <= text.length; length++) {
    const { manifest, problems } = checkManifest(text.slice(0, length))
    const refused = problems.some((problem) => problem.severity === 'error')
    assert.equal(manifest === undefined, refused, `cut at ${length}`)
  }
})

test('no text makes the checker throw', () => {
  const token = fc.constantFrom(
    ...'[]{}:,-&*!|>%@`"\'#\n\t ?~',
    'containers',
    'volumes',
    'type',
    '- ',
    ': ',
    'a',
    '1',
    '<<',
  )
  fc.assert(fc.property(fc.string({ unit: token, maxLength: 60 }), (text) => void checkManifest(text)))
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void checkManifest(text)))
})
