import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { splitWords } from './shell-words.ts'

const SPLITS: readonly [line: string, words: readonly string[]][] = [
  ['', []],
  ['  \t\n', []],
  ['nginx', ['nginx']],
  ['nginx  -g\t"daemon off;"', ['nginx', '-g', 'daemon off;']],
  [`sh -c 'echo "$HOME" \\'`, ['sh', '-c', 'echo "$HOME" \\']],
  [`a'b'"c"d`, ['abcd']],
  [`'' ""`, ['', '']],
  [`x""`, ['x']],
  ['a\\ b', ['a b']],
  ['a\\ ', ['a ']],
  ['a \\\n b', ['a', 'b']],
  ['a\\\nb', ['ab']],
  ['"a\\\nb"', ['ab']],
  [`"\\$ \\\` \\" \\\\ \\n"`, ['$ ` " \\ \\n']],
  [`'it'\\''s'`, ["it's"]],
  ['# no comment', ['#', 'no', 'comment']],
  ['--filter=*.txt ~', ['--filter=*.txt', '~']],
]

test('a command line is split by quotes and backslashes alone', () => {
  for (const [line, words] of SPLITS) {
    const split = splitWords(line)
    assert.equal(split.kind, 'words', line)
    if (split.kind === 'words') assert.deepEqual(split.words, words, line)
  }
})

test('what a shell would act on is named, except where quotes disarm it', () => {
  const inert = (line: string) => {
    const split = splitWords(line)
    return split.kind === 'words' ? split.inert.join('') : split.message
  }
  assert.equal(inert('a | b && c; d > e < f $(g) `h`'), '|&;><$()`')
  assert.equal(inert('echo "$HOME"'), '$')
  assert.equal(inert("echo '$HOME | cat' \\$x"), '')
  assert.equal(inert('\n one two \n'), '')
  assert.equal(inert('one\ntwo'), '\n')
})

test('an unfinished quote or backslash is refused', () => {
  for (const line of ["a 'b", 'a "b', 'a "b\\"', 'a\\', "'", '"'])
    assert.equal(splitWords(line).kind, 'unfinished', line)
})

test('a real sh splits the same way wherever nothing is left for it to expand', () => {
  // /bin/sh -c 'printf "%s\0" …' prints its words: the reference that the rules are taken from.
  const piece = fc.constantFrom('a', 'b', ' ', '\t', "'", '"', '\\', 'é', '=', '-', '\\ ', '\\\n')
  fc.assert(
    fc.property(fc.string({ unit: piece, maxLength: 24 }), (line) => {
      const split = splitWords(line)
      fc.pre(split.kind === 'words' && split.inert.length === 0)
      const printed = execFileSync('/bin/sh', ['-c', `printf '%s\\0' x ${line}`], { encoding: 'utf8' })
      if (split.kind === 'words') assert.deepEqual(printed.split('\0').slice(1, -1), split.words)
    }),
    { numRuns: 150 },
  )
})

test('quoting any words and splitting gives them back', () => {
  const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), (words) => {
      assert.deepEqual(splitWords(words.map(quoted).join(' ')), { kind: 'words', words, inert: [] })
    }),
  )
})
