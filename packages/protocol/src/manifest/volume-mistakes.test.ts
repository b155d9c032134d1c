// Mistakes in volumes and resources, and what is only warned of.
import { test } from 'node:test'
import { assertFound, BOX, beside, DATA, HEAD, pod, type Row, volume, withResources } from './marked-mistake.test.ts'

const inlineSecrets = (count: number) =>
  Array.from({ length: count }, (_, index) => `{type: secret, mountPath: /s${index}, value: x}`).join(', ')
const VOLUMES: readonly Row[] = [
  [pod('volumes: ▸data:/d'), 'volumes is "data:/d", wanted a list of volumes'],
  [pod('volumes: [▸data:/d]'), 'there is no volume named "data"', 'declare it in volumes'],
  [pod('volumes: [▸dat:/d, data:/e]', DATA), 'there is no volume named "dat"', 'did you mean data?'],
  [pod('volumes: [{name: ▸dta, mountPath: /d}, data:/e]', DATA), 'there is no volume named "dta"', 'data'],
  [pod('volumes: [▸data, data:/e]', DATA), '"data" is no volume, wanted "name:/path[:ro]"'],
  [pod('volumes: [▸"data:/d:rx", data:/e]', DATA), 'is no volume'],
  [pod('volumes: [▸./src:/d]'), 'is no volume', 'folders of a machine cannot be mounted'],
  [pod('volumes: [▸/src:/d]'), 'is no volume', 'folders of a machine'],
  [pod('volumes: [▸data:d]', DATA), 'the mount path "d" is not absolute'],
  [pod('volumes: [▸data:/]', DATA), 'is the root'],
  [pod('volumes: [▸data:/a/../b]', DATA), 'holds ..'],
  [pod('volumes: [▸data:/proc/x]', DATA), 'lies in /proc, which belongs to the system'],
  [pod('volumes: [data:/d, ▸data:/d/]', DATA), 'the mount path "/d" is taken by the volume at "/d"'],
  [pod('volumes: [▸[data]]'), 'volumes[0] is a list'],
  [pod('volumes: [▸{name: data}, data:/d]', DATA), 'the volume has no mountPath'],
  [pod('volumes: [{name: data, mountPath: /d, readOnly: ▸yes}]', DATA), 'readOnly is "yes", wanted true or false'],
  [pod('volumes: [{name: data, mountPath: /d, ▸path: /d}]', DATA), 'unknown key "path"', 'mountPath'],
  [pod('volumes: [▸{type: secret, mountPath: /s}]'), 'the secret has neither source nor value'],
  [pod('volumes: [▸{mountPath: /s, resources: {storage: 1}}]'), 'the volume has no type', 'type: volume'],
  [pod('volumes: [▸{mountPath: /s, source: s.txt}]'), 'the volume has no type', 'type: secret'],
  [
    pod('volumes: [{▸name: x, type: secret, mountPath: /s, value: x}]'),
    'unknown key "name"',
    'belongs in the volumes list',
  ],
  [
    pod('volumes: [{type: secret, value: x, mountPath: /s}, ▸{type: secret, value: x, mountPath: /s/t}]'),
    'is taken by',
  ],
  [volume('▸{name: data, resources: {storage: 1}}'), 'the volume has no type'],
  [volume('{name: data, type: ▸emptydir, resources: {storage: 1}}'), '"emptydir" is no type', 'emptyDir'],
  [volume('{name: data, type: ▸disk, resources: {storage: 1}}'), 'wanted volume, emptyDir, secret'],
  [beside('volumes: [▸{type: secret, value: x}]\n'), 'the volume has no name'],
  [beside('volumes: [{name: ▸A_b, type: secret, value: x}]\n'), '"A_b" is no volume name'],
  [
    volume('{name: data, type: secret, value: x}\n  - {name: ▸data, type: secret, value: x}'),
    'named "data" is already there',
  ],
  [
    volume('{name: data, type: volume, resources: {storage: 1}, ▸size: 1}'),
    'unknown key "size"',
    'resources: {storage: 1Gi}',
  ],
  [volume('{name: data, type: volume, resources: {▸storag: 1, storage: 1}}'), 'unknown key "storag"', 'storage'],
  [volume('{name: data, type: volume, resources: {storage: ▸0}}'), 'storage is 0'],
  [volume('{name: data, type: volume, resources: {storage: {quantity: ▸0, class: nvme}}}'), 'storage is 0'],
  [volume('{name: data, type: volume, resources: {storage: ▸{class: nvme}}}'), 'storage has no quantity', 'class'],
  [volume('{name: data, type: volume, resources: {storage: {quantity: 1, class: ▸é}}}'), 'is no model or class'],
  [volume('{name: data, type: volume, resources: {storage: {quantity: 1, ▸model: x}}}'), 'unknown key "model"'],
  [volume('{name: data, type: volume, resources: {storage: ▸0.5}}'), 'not a whole number'],
  [volume('{name: data, type: volume, resources: {storage: ▸1 GB}}'), 'is not a quantity', '1GB'],
  [
    volume('{name: data, type: volume, resources: {storage: 1}, source: ▸a}'),
    'source is given for a volume of type volume',
  ],
  [
    volume('{name: data, type: emptyDir, resources: {storage: 1}, value: ▸a}'),
    'value is given for a volume of type emptyDir',
  ],
  [volume('{name: data, type: secret, value: x, resources: ▸{storage: 1}}'), 'a secret has no resources'],
  [volume('{name: data, type: secret, source: a, value: ▸x}'), 'both source and value are given'],
  [volume('{name: data, type: secret, source: ▸""}'), '"" is no path of a file'],
  [volume(`{name: data, type: secret, value: ▸${'é'.repeat(131073)}}`), 'the secret has 262146 bytes, at most 262144'],
  [
    beside(
      `volumes: ▸[${Array.from({ length: 33 }, (_, index) => `{name: v${index}, type: secret, value: x}`).join(', ')}]`,
    ),
    '33 entries in a list of volumes, at most 32',
  ],
  [
    `▸${HEAD}containers:\n${`  - {${BOX}, volumes: [${inlineSecrets(17)}]}\n`.repeat(2)}`,
    '34 volumes, inline ones included, at most 32',
  ],
]

test('a volume with a mistake', () => {
  for (const row of VOLUMES) assertFound(row, 'error')
})

const RESOURCES: readonly Row[] = [
  [withResources('▸1Gi'), 'resources is "1Gi", wanted a map'],
  [withResources('{cpu: 1, memory: 1Gi, ▸gpu: 1}'), 'unknown resource "gpu"', 'nvidia.com/gpu'],
  [withResources('{cpu: 1, memory: 1Gi, ▸nvidia.com/gpus: 1}'), 'unknown resource', 'did you mean nvidia.com/gpu?'],
  [withResources('{cpu: 1, memory: 1Gi, ▸hugepages-2Mi: 1}'), 'unknown resource', 'known: cpu, memory'],
  [
    withResources('{cpu: 1, memory: 1Gi, ▸requests: {cpu: 1}}'),
    'unknown resource "requests"',
    'write cpu and memory right here',
  ],
  [withResources('{cpu: 1, memory: 1Gi, ▸storage: 1Gi}'), 'a container cannot ask for storage', 'belongs to a volume'],
  [withResources('{cpu: 1, memory: 1Gi, ▸trustedpods/port: 1}'), 'cannot ask for trustedpods/port', 'counted'],
  [withResources('{cpu: ▸0, memory: 1Gi}'), 'cpu is 0, wanted more'],
  [withResources('{cpu: 1, memory: ▸0Gi}'), 'memory is 0, wanted more'],
  [withResources('{cpu: ▸-1, memory: 1Gi}'), '"-1" is negative'],
  [withResources('{cpu: ▸two, memory: 1Gi}'), '"two" is not a quantity'],
  [withResources('{cpu: ▸0.0001, memory: 1Gi}'), 'below a thousandth'],
  [withResources('{cpu: 1, memory: ▸100m}'), '"100m" is not a whole number', 'M or Mi is a million'],
  [withResources('{cpu: 1, memory: ▸1GB}'), 'unknown suffix "GB"', 'did you mean G?'],
  [withResources('{cpu: 1, memory: ▸9Ei}'), 'too large'],
  [withResources('{cpu: 1, memory: ▸[1Gi]}'), 'memory is a list, wanted a quantity'],
  [withResources('{cpu: 1, memory: 1Gi, ▸nvidia.com/gpu: }'), 'has no value'],
  [withResources('{cpu: 1, memory: 1Gi, nvidia.com/gpu: ▸0.5}'), 'not a whole number'],
  [
    withResources('{cpu: 1, memory: 1Gi, nvidia.com/gpu: ▸{model: H100}}'),
    'nvidia.com/gpu has no quantity',
    'quantity: 1',
  ],
  [withResources('{cpu: 1, memory: 1Gi, nvidia.com/gpu: {quantity: 1, ▸count: 1}}'), 'unknown key "count"'],
  [withResources('{cpu: 1, memory: 1Gi, nvidia.com/gpu: {quantity: 1, model: ▸é}}'), 'is no model or class'],
  [withResources('{cpu: 1, memory: {quantity: 1Gi, ▸model: x}}'), 'unknown key "model"', 'known keys: quantity'],
  [
    `▸${HEAD}containers:\n${'  - {image: a, resources: {cpu: 1, memory: 7Ei}}\n'.repeat(2)}`,
    'the pod asks for 16140901064495857664 of memory in all',
  ],
]

test('resources with a mistake', () => {
  for (const row of RESOURCES) assertFound(row, 'error')
})

const WARNINGS: readonly Row[] = [
  [withResources('▸{memory: 1Gi}'), 'no cpu is asked for: 100m will be reserved'],
  [withResources('▸{cpu: 1}'), 'no memory is asked for: 128Mi will be reserved'],
  [withResources('{cpu: ▸5m, memory: 1Gi}'), 'cpu is 5m: container engines take at least 10m'],
  [withResources('{cpu: 1, memory: ▸512}'), 'memory is 512: container engines take at least 6Mi', 'mebibytes'],
  [volume('▸{name: data, type: volume}'), 'no storage is asked for: 1Gi'],
  [volume('▸{name: data, type: volume, resources: {}}'), 'no storage is asked for: 1Gi'],
  [volume('{name: data, type: secret, source: ▸../key}'), "lies outside the manifest's folder"],
  [volume('{name: data, type: secret, source: ▸/etc/key}'), "lies outside the manifest's folder"],
  [beside('volumes:\n  - ▸{name: data, type: secret, value: x}'), 'no container mounts the volume "data"'],
  [pod('command: ▸echo $HOME'), 'no shell reads this command line: $ stands for itself', '["sh", "-c", "…"]'],
  [pod('command: ▸a && b'), '& stands for itself'],
  [`${HEAD}containers: [{${BOX}, ports: [1:80]}, {${BOX}, ports: [▸2:80]}]`, 'container a listens on 80/tcp too'],
]

test('what may not be meant is a warning, and the manifest is taken', () => {
  for (const row of WARNINGS) assertFound(row, 'warning')
})
