// Mistakes in containers and their ports.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertFound, BOX, HEAD, pod, type Row } from './marked-mistake.test.ts'
import { checkManifest } from './parse.ts'

const CONTAINERS: readonly Row[] = [
  [`${HEAD}containers: [▸{resources: {cpu: 1, memory: 1Gi}}]`, 'the container has no image'],
  [`${HEAD}containers: [{▸image: , resources: {cpu: 1, memory: 1Gi}}]`, 'containers[0].image has no value'],
  [`${HEAD}containers: [{image: ▸"a ", resources: {cpu: 1, memory: 1Gi}}]`, '"a " is not the name of an image'],
  [`${HEAD}containers: [{image: ▸Foo BAR, resources: {cpu: 1, memory: 1Gi}}]`, '"Foo BAR" is not the name of an image'],
  [`${HEAD}containers: [{image: ▸"nginx:", resources: {cpu: 1, memory: 1Gi}}]`, '"nginx:" is not the name of an image'],
  [
    `${HEAD}containers: [{image: ▸"a@sha256:12", resources: {cpu: 1, memory: 1Gi}}]`,
    '"a@sha256:12" is not the name of an image',
  ],
  [`${HEAD}containers: [{image: ▸[a], resources: {cpu: 1, memory: 1Gi}}]`, 'image is a list'],
  [pod('name: ▸Web'), '"Web" is no container name'],
  [pod('name: ▸-a'), '"-a" is no container name'],
  [`${HEAD}containers:\n  - {${BOX}, name: x}\n  - {${BOX}, name: ▸x}`, 'a container named "x" is already there'],
  [pod('▸comand: a'), 'unknown key "comand"', 'did you mean command?'],
  [pod('▸Ports: [1]'), 'unknown key "Ports"', 'did you mean ports?'],
  [pod('▸environment: {}'), 'unknown key "environment"', 'did you mean env?'],
  [pod('▸entrypoint: a'), 'unknown key "entrypoint"', 'command'],
  [pod('▸volumeMounts: []'), 'unknown key "volumeMounts"', 'volumes'],
  [pod('▸build: .'), 'unknown key "build"', 'docker build'],
  [pod('command: ▸"a \'b"'), "the command line a ' is never closed"],
  [pod('command: ▸"a \\\\"'), 'the command line ends in a backslash'],
  [pod('args: ▸""'), 'the command line is empty', 'remove the key'],
  [pod('command: ▸{a: b}'), 'command is a map'],
  [pod('command: [a, ▸[b]]'), 'command[1] is a list, wanted a word'],
  [pod('command: [a, ▸~]'), 'command[1] has no value'],
  [pod('command: [a, ▸"b\\0"]'), 'a word of the command line holds a NUL character'],
  [pod('command: [▸"\\uD800"]'), 'half of a surrogate pair'],
  [pod(`command: ▸[${'a, '.repeat(257)}]`), '257 entries in a list of words, at most 256'],
  [pod(`command: ▸${'a '.repeat(257)}`), '257 entries'],
  [pod('sources: ▸https://gateway.example'), 'sources is "https://gateway.example", wanted a list of addresses'],
  [pod('sources: [▸http://gateway.example]'), 'is no source of blocks, wanted a multiaddr such as'],
  [pod('sources: [▸"/ip4/192.0.2.1/tcp/4001"]'), 'is no source of blocks'],
  [pod('sources: [https://a.example, ▸https://a.example]'), 'the source "https://a.example" is there twice'],
  [
    pod(`sources: ▸[${Array.from({ length: 9 }, (_, i) => `https://${i}.a.example`)}]`),
    '9 entries in a list of addresses, at most 8',
  ],
  [pod('▸source: https://a.example'), 'unknown key "source"', 'sources'],
  [pod('workingDir: ▸srv'), '"srv" is not absolute', 'such as /srv/app'],
  [pod('workingDir: ▸/srv/../etc'), 'holds ..'],
  [pod('env: {▸1A: x}'), '"1A" is no name of a variable'],
  [pod('env: {▸A: }'), 'the variable "A" has no value', 'write "" for an empty one'],
  [pod('env: {A: ▸[x]}'), 'the variable "A" is a list'],
  [pod('env: {A: ▸"\\0"}'), 'the variable "A" holds a NUL character'],
  [pod('env: ▸A=b'), 'env is "A=b", wanted a map of variables'],
  [pod('env: [▸A=b]'), 'env[0] is a text', 'env: {NAME: value}'],
  [pod('env: [▸{name: A}]'), 'the variable has no value'],
  [pod('env: [▸{value: A}]'), 'the variable has no name'],
  [pod('env: [{name: A, value: 1}, {name: ▸A, value: 2}]'), 'the variable "A" is set twice'],
  [pod('env: [{name: A, ▸valu: 1, value: 1}]'), 'unknown key "valu"', 'value'],
  [
    pod(`env: ▸{${Array.from({ length: 257 }, (_, index) => `A${index}: x`).join(', ')}}`),
    '257 entries in a map of variables',
  ],
]

test('a container with a mistake', () => {
  for (const row of CONTAINERS) assertFound(row, 'error')
})

test('a value of a variable is never part of a message', () => {
  const { problems } = checkManifest(
    pod('env: {A: "hunter2\\0", "1B": hunter2, C: [hunter2]}, environment: {X: hunter2}'),
  )
  assert.ok(problems.length >= 4)
  assert.equal(JSON.stringify(problems).includes('hunter2'), false)
})

const PORTS: readonly Row[] = [
  [pod('ports: ▸8080'), 'ports is 8080, wanted a list of ports'],
  [pod('ports: [▸0]'), '0 is no port'],
  [pod('ports: [▸65536]'), '65536 is no port', '1 to 65535'],
  [pod('ports: [▸-1]'), '-1 is no port'],
  [pod('ports: [▸"80:"]'), '"80:" is no port'],
  [pod('ports: [▸"80:81:82:83"]'), 'is no port'],
  [pod('ports: [▸"x:80"]'), 'is no port'],
  [pod('ports: [▸"80/sctp"]'), '"80/sctp" is no port', 'protocols tcp and udp'],
  [pod('ports: [▸"127.0.0.1:80"]'), 'is no port', '127.0.0.1:80:80'],
  [pod('ports: [▸"999.0.0.1:80:80"]'), 'is no port'],
  [pod('ports: [▸"::1:80:80"]'), 'is no port', 'in brackets'],
  [pod('ports: [▸"8000-8010"]'), 'is no port', 'ranges are not taken'],
  [pod('ports: [▸[80]]'), 'ports[0] is a list, wanted a port'],
  [pod('ports: [▸{protocol: tcp}]'), 'neither port nor targetPort is given'],
  [pod('ports: [{port: ▸http}]'), 'ports[0].port is "http", wanted a whole number from 1 to 65535'],
  [pod('ports: [{port: 1, targetPort: ▸0}]'), 'targetPort is 0'],
  [pod('ports: [{port: 1, protocol: ▸sctp}]'), '"sctp" is no protocol, wanted tcp or udp'],
  [pod('ports: [{port: 1, hostIP: ▸here}]'), '"here" is no address'],
  [pod('ports: [{port: 1, ▸containerPort: 2}]'), 'unknown key "containerPort"', 'targetPort'],
  [pod('ports: [{port: 1, host: a.b, hostIP: ▸127.0.0.1}]'), 'hostIP is given together with host'],
  [pod('ports: [{port: 1, host: ▸a.b, protocol: udp}]'), 'host is given for a udp port'],
  [pod('ports: [{port: 1, host: ▸"*.a.b"}]'), '"*.a.b" is no host name'],
  [pod('ports: [{port: 1, host: ▸bücher.example}]'), 'is no host name', 'did you mean xn--bcher-kva.example?'],
  [pod('port: 1, host: ▸"https://a.b/c"'), 'is no host name', 'did you mean a.b?'],
  [pod('port: 1, host: ▸10.0.0.1'), 'is no host name'],
  [pod('host: ▸a.b'), 'host is given without port', 'port: 8080'],
  [pod('port: ▸[80]'), 'port is a list, wanted a whole number'],
  [pod('ports: [80, ▸80:81]'), 'port 80/tcp is already given to this container'],
  [pod('ports: ["127.0.0.1:80:80", ▸80:81]'), 'port 80/tcp is already given'],
  [pod('port: 1, host: a.b, ports: [▸{port: 2, host: a.b}]'), 'host "a.b" is already given to this container'],
  [`${HEAD}containers: [{${BOX}, ports: [1:2]}, {${BOX}, ports: [▸1:3]}]`, 'already given to container a'],
  [
    pod(`ports: ▸[${Array.from({ length: 33 }, (_, index) => index + 1)}]`),
    '33 entries in a list of ports, at most 32',
  ],
  [pod(`port: 99, ports: ▸[${Array.from({ length: 32 }, (_, index) => index + 1)}]`), '33 ports with the one of port'],
]

test('a port with a mistake', () => {
  for (const row of PORTS) assertFound(row, 'error')
})
