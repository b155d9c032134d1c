/** A table row of a mistake: the text with the mark ▸ before what is wrong, and what is said about it there. */
import assert from 'node:assert/strict'
import { checkManifest } from './parse.ts'
import type { Problem } from './problem.ts'

const MARK = '▸'
export type Row = readonly [text: string, message: string | RegExp, hint?: string | RegExp]

function place(marked: string): { text: string; line: number; column: number } {
  const before = marked.slice(0, marked.indexOf(MARK)).split('\n')
  return { text: marked.replace(MARK, ''), line: before.length, column: (before.at(-1) ?? '').length + 1 }
}

function matches(text: string | undefined, wanted: string | RegExp | undefined): boolean {
  if (wanted === undefined) return true
  return typeof wanted === 'string' ? (text ?? '').includes(wanted) : wanted.test(text ?? '')
}

/** The mistake is found at its mark, and is the only thing wrong. */
export function assertFound(row: Row, severity: Problem['severity']): void {
  const [marked, message, hint] = row
  assert.equal(marked.split(MARK).length, 2, `one mark in ${marked}`)
  const { text, line, column } = place(marked)
  const { manifest, problems } = checkManifest(text)
  const found = problems.find((problem) => {
    const here = problem.line === line && problem.column === column && problem.severity === severity
    return here && matches(problem.message, message) && matches(problem.hint, hint)
  })
  assert.ok(
    found,
    `${marked}\nwanted ${line}:${column} ${message} (${hint}), got\n${JSON.stringify(problems, null, 1)}`,
  )
  // The mistake is the only thing wrong with it.
  const errors = problems.filter((problem) => problem.severity === 'error')
  assert.equal(errors.length, severity === 'error' ? 1 : 0, JSON.stringify(errors, null, 1))
  assert.equal(manifest === undefined, severity === 'error')
}

export const HEAD = 'type: trustedpods\nversion: "1.0"\n'
export const BOX = 'image: a, resources: {cpu: 1, memory: 1Gi}'
/** A pod of one container with these fields in flow style. */
export const pod = (fields: string, rest = '') => `${HEAD}containers:\n  - {${BOX}, ${fields}}\n${rest}`
/** A pod with this top-level text beside one container. */
export const beside = (rest: string) => `${HEAD}containers:\n  - {${BOX}}\n${rest}`
/** A pod whose container mounts `data`, declared as given. */
export const volume = (fields: string) => pod('volumes: [data:/d]', `volumes:\n  - ${fields}\n`)
export const DATA = 'volumes: [{name: data, type: emptyDir, resources: {storage: 1Mi}}]\n'
/** A pod of one container with these resources. */
export const withResources = (fields: string) => `${HEAD}containers:\n  - image: a\n    resources: ${fields}\n`
