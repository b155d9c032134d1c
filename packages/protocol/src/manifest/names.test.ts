import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  isDnsLabel,
  isEnvName,
  isHostName,
  isIpAddress,
  isSelector,
  MAX_TEXT_BYTES,
  shortestPath,
  uniqueLabel,
  whyBadMountPath,
  whyBadPath,
  whyBadText,
} from './names.ts'

function verdicts(rule: (text: string) => boolean, good: readonly string[], bad: readonly string[]): void {
  for (const text of good) assert.equal(rule(text), true, `${JSON.stringify(text)} is taken`)
  for (const text of bad) assert.equal(rule(text), false, `${JSON.stringify(text)} is refused`)
}

test('a DNS label is at most 63 lower-case letters, digits and inner dashes', () => {
  verdicts(
    isDnsLabel,
    ['a', '0', 'web-1', 'a'.repeat(63)],
    ['', '-a', 'a-', 'A', 'a_b', 'a.b', 'é', 'a\n', 'a'.repeat(64)],
  )
})

test('a host name is labels and no address', () => {
  const good = ['localhost', 'hello.localhost', 'xn--bcher-kva.example', '1.example', `${'a.'.repeat(126)}a`]
  const bad = [
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    'A.b',
    '*.a',
    '127.0.0.1',
    'a_b.c',
    'a b',
    'a:80',
    `${'a.'.repeat(127)}a`,
    '::1',
  ]
  verdicts(isHostName, good, bad)
})

test('an address is IPv4 in four decimals or IPv6', () => {
  const good = ['0.0.0.0', '127.0.0.1', '255.255.255.255', '::', '::1', '2001:DB8::1', '::ffff:192.0.2.1']
  verdicts(isIpAddress, good, [
    '',
    '1',
    '1.2.3',
    '256.0.0.1',
    '01.2.3.4',
    '1.2.3.4.5',
    ':',
    '1::2::3',
    'fe80::1%eth0',
    '[::1]',
    'g::',
  ])
})

test('a variable has the name of a C identifier with dots and dashes', () => {
  verdicts(isEnvName, ['A', '_', 'a.b', 'A-B', '-x', '.x', 'x1'], ['', '1A', 'A=B', 'A B', 'é', 'A\n', 'A'.repeat(257)])
})

test('a selector is short printable ASCII', () => {
  verdicts(isSelector, ['H100', 'AMD EPYC 9004', 'x'.repeat(64)], ['', ' a', 'a ', 'é', 'a\tb', 'x'.repeat(65)])
})

test('a path is absolute and in its shortest form', () => {
  for (const path of ['/', '/a', '/a/b.c', '/a b', '/…', '/..a', '/a..'])
    assert.equal(whyBadPath(path), undefined, path)
  const bad = [
    '',
    'a',
    './a',
    '/a/../b',
    '/..',
    '//a',
    '/a/',
    '/./a',
    '/a\0b',
    '/a\nb',
    `/${'a'.repeat(1024)}`,
    '/\ud800',
  ]
  for (const path of bad) assert.notEqual(whyBadPath(path), undefined, path)
})

test('no volume is mounted over the root or what the system keeps', () => {
  for (const path of ['/data', '/dev/shm', '/process', '/sys2']) assert.equal(whyBadMountPath(path), undefined, path)
  for (const path of ['/', '/proc', '/proc/1', '/sys/fs', '/dev', '/dev/sda', '/a:b', '/a,b', 'a']) {
    assert.notEqual(whyBadMountPath(path), undefined, path)
  }
})

test('shortening keeps what a path names', () => {
  assert.equal(shortestPath('//a/./b//c/'), '/a/b/c')
  assert.equal(shortestPath('/'), '/')
  assert.equal(shortestPath('/a/../b'), '/a/../b')
  assert.equal(shortestPath('a//b'), 'a//b')
})

test('text for a program has no NUL, no half character and one argument’s length', () => {
  assert.equal(whyBadText('é\n\t\u{1F600}'), undefined)
  assert.equal(whyBadText('a'.repeat(MAX_TEXT_BYTES)), undefined)
  assert.match(whyBadText('a'.repeat(MAX_TEXT_BYTES + 1)) ?? '', /131072 bytes long/)
  assert.match(whyBadText('é'.repeat(MAX_TEXT_BYTES / 2 + 1)) ?? '', /bytes long/)
  assert.match(whyBadText('a\0') ?? '', /NUL/)
  assert.match(whyBadText('\ud83d') ?? '', /surrogate/)
})

test('a derived label is always a label and never one that is taken', () => {
  assert.equal(uniqueLabel('/run/Secrets/my_key', new Set(), { fallback: 'x' }), 'run-secrets-my-key')
  assert.equal(uniqueLabel('…', new Set(['x', 'x-2']), { fallback: 'x' }), 'x-3')
  fc.assert(
    fc.property(fc.string({ maxLength: 90 }), fc.integer({ min: 1, max: 12 }), (wanted, count) => {
      const taken = new Set<string>()
      for (let index = 0; index < count; index++) {
        const label = uniqueLabel(wanted, taken, { fallback: 'container' })
        assert.ok(isDnsLabel(label) && !taken.has(label), label)
        taken.add(label)
      }
    }),
  )
})
