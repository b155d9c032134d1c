// Mistakes in the YAML and the shape of a manifest, and what bounds a hostile one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_MANIFEST_BYTES } from './manifest.ts'
import { assertFound, BOX, beside, HEAD, pod, type Row } from './marked-mistake.test.ts'
import { checkManifest } from './parse.ts'
import { MAX_PROBLEMS } from './problem.ts'

const SYNTAX: readonly Row[] = [
  [`${HEAD}containers:\n  - {${BOX}\n▸`, 'flow map'],
  [`${HEAD}▸\tcontainers: []\n`, 'a tab indents this line', 'YAML indents with spaces'],
  [`${HEAD}containers: "a▸`, 'ends within a quoted value'],
  [`${HEAD}containers: "▸\\q"`, 'invalid escape sequence'],
  [`${HEAD}containers:\n  - {${BOX}}\n▸type: trustedpods\n`, 'the key "type" is written twice'],
  [pod('env: {A: 1, B: 2, ▸A: 3}'), 'the key "A" is written twice'],
  [pod('env: {A: &x ▸1}'), 'the anchor "&x" is not taken', 'write the value out'],
  [pod('env: {A: ▸*x}'), 'the alias "*x" is not taken'],
  [pod('env: {A: !!str ▸1}'), 'the tag "tag:yaml.org,2002:str" is not taken', 'in quotes'],
  [pod('env: {A: !secret ▸1}'), 'the tag "!secret" is not taken'],
  [pod('env: {▸[a]: 1}'), 'a key is not plain text'],
  [pod('env: {▸{a: b}: 1}'), 'a key is not plain text'],
  [`▸%YAML 1.1\n---\n${beside('')}`, 'the directive "%YAML 1.1" is not taken'],
  [`${beside('')}▸---\n${beside('')}`, 'more than one document'],
]

test('text that is not the YAML of a manifest', () => {
  for (const row of SYNTAX) assertFound(row, 'error')
})

const SHAPES: readonly Row[] = [
  ['▸', 'the manifest is empty'],
  ['▸# nothing\n', 'the manifest is empty'],
  ['▸nginx', 'the document is "nginx", wanted a map with type, version'],
  ['▸- a', 'the document is a list, wanted a map'],
  [`▸version: "1.0"\ncontainers: [{${BOX}}]`, 'type is missing', 'add type: "trustedpods"'],
  [`▸type: trustedpods\ncontainers: [{${BOX}}]`, 'version is missing', 'add version: "1.0"'],
  [`▸${HEAD}`, 'containers is missing', 'at least one container'],
  [`type: ▸pod\nversion: "1.0"\ncontainers: [{${BOX}}]`, 'type is "pod", wanted trustedpods'],
  [`type: trustedpods\nversion: ▸1.1\ncontainers: [{${BOX}}]`, 'version is 1.1, wanted 1.0'],
  [`type: ▸[x]\nversion: "1.0"\ncontainers: [{${BOX}}]`, 'type is a list, wanted trustedpods'],
  [`${HEAD}containers: ▸[]`, 'there is no container'],
  [`${HEAD}▸containers:\n`, 'containers has no value', 'give a value'],
  [`${HEAD}containers: ▸nginx`, 'containers is "nginx", wanted a list of containers', '"- "'],
  [`${HEAD}containers:\n  - {${BOX}}\n  - ▸~\n`, 'containers[1] has no value'],
  [`${HEAD}containers: [▸nginx]`, 'containers[0] is "nginx", wanted a map with name, image'],
  [`${HEAD}containers: ▸[${`{${BOX}}, `.repeat(17)}]`, '17 entries in a list of containers, at most 16'],
  [beside('▸replica: {min: 1}'), 'unknown key "replica"', 'did you mean replicas?'],
  [beside('▸services: {}'), 'unknown key "services"', 'docker-compose'],
  [beside('▸apiVersion: v1'), 'unknown key "apiVersion"', 'Kubernetes'],
  [beside('▸zzz: 1'), 'unknown key "zzz"', 'known keys: type, version, containers, replicas, volumes'],
  [beside('replicas: ▸2'), 'replicas is 2, wanted a map', 'write {min: 2, max: 2}'],
  [beside('replicas: ▸[2]'), 'replicas is a list, wanted a map with min, max'],
  [beside('replicas: {▸minimum: 2}'), 'unknown key "minimum"'],
  [beside('replicas: {min: 1, max: ▸0}'), 'replicas.max is 0, wanted a whole number from 1 to 1000'],
  [beside('replicas: {min: ▸-1}'), 'replicas.min is -1, wanted a whole number'],
  [beside('replicas: {min: ▸1.5}'), 'replicas.min is 1.5, wanted a whole number'],
  [beside('replicas: {min: 1, max: ▸1001}'), 'from 1 to 1000'],
  [beside('replicas: {min: ▸3, max: 2}'), 'min is 3, max is 2'],
  [beside('replicas: {min: ▸0}'), 'min is 0 and no port has a host', 'woken by an HTTP request'],
]

test('a document of the wrong shape', () => {
  for (const row of SHAPES) assertFound(row, 'error')
})

test('a manifest past the limit is not read', () => {
  const { problems } = checkManifest(`# ${'x'.repeat(MAX_MANIFEST_BYTES)}`)
  assert.deepEqual(
    problems.map((problem) => problem.message),
    [`the manifest has 1048578 bytes, at most 1048576 are taken`],
  )
})

test('aliases are never expanded: a bomb costs what its text costs', () => {
  const levels = Array.from({ length: 40 }, (_, index) => `a${index + 1}: &a${index + 1} [${`*a${index}, `.repeat(9)}]`)
  const { manifest, problems } = checkManifest(`a0: &a0 x\n${levels.join('\n')}\n`)
  assert.equal(manifest, undefined)
  assert.ok(problems.length <= MAX_PROBLEMS + 1)
})

test('nesting past any manifest is refused where it becomes too deep', () => {
  const [problem] = checkManifest(`x: ${'['.repeat(17)}${']'.repeat(17)}`).problems.filter(({ column }) => column > 1)
  assert.deepEqual([problem?.line, problem?.column, problem?.message], [1, 20, 'nested more than 16 levels deep'])
})

test('brackets past any stack and a million mistakes are one and some problems', () => {
  const deep = checkManifest('['.repeat(100_000)).problems
  assert.deepEqual(
    deep.map((problem) => problem.message),
    ['nested more than 16 levels deep'],
  )
  const many = checkManifest('x: 1\n'.repeat(2000)).problems
  assert.equal(many.length, MAX_PROBLEMS + 1)
  assert.match(many.at(-1)?.message ?? '', /^and \d+ more problems$/)
})
