/** Findings in a manifest, each with its place in the file. Spec: spec/MANIFEST.md#errors. Pure. */
import type { LineCounter } from 'yaml'

export interface Problem {
  /** The file's name, where the caller gave one. */
  readonly file?: string
  /** From 1. */
  readonly line: number
  /** From 1, in UTF-16 units. */
  readonly column: number
  /** Where in the document: containers[0].ports[1]; empty: the whole. */
  readonly path: string
  readonly message: string
  /** What to write instead. */
  readonly hint?: string
  /** A manifest with an error is refused; one with warnings is not. */
  readonly severity: 'error' | 'warning'
}

/** "file:line:column: message (hint)"; a warning says so. */
export function formatProblem(problem: Problem): string {
  const place = `${problem.file ?? 'manifest'}:${problem.line}:${problem.column}`
  const message = problem.severity === 'warning' ? `warning: ${problem.message}` : problem.message
  return problem.hint === undefined ? `${place}: ${message}` : `${place}: ${message} (${problem.hint})`
}

export interface Finding {
  /** In UTF-16 units from the start of the text. */
  readonly offset: number
  readonly path: string
  readonly message: string
  readonly hint?: string | undefined
  /** syntax: the text is no YAML that is taken; error: what it says is wrong. */
  readonly kind: 'syntax' | 'error' | 'warning'
}

/** Collects findings while a document is read. */
export interface Report {
  add(finding: Finding): void
  has(kind: Finding['kind']): boolean
  /** In the file's order. */
  problems(): readonly Problem[]
}

/** More than anybody reads; a megabyte of mistakes stays small. */
export const MAX_PROBLEMS = 500

export function createReport(lines: LineCounter, options: { readonly file?: string } = {}): Report {
  const findings: Finding[] = []
  const kinds = new Set<Finding['kind']>()
  let left = 0
  return {
    add(finding) {
      kinds.add(finding.kind)
      if (findings.length < MAX_PROBLEMS) findings.push(finding)
      else left++
    },
    has: (kind) => kinds.has(kind),
    problems() {
      const sorted = findings.toSorted((a, b) => a.offset - b.offset)
      const rest: Finding = { ...END, offset: sorted.at(-1)?.offset ?? 0, message: `and ${left} more problems` }
      return (left === 0 ? sorted : [...sorted, rest]).map((finding) => locate(finding, lines, options))
    },
  }
}

const END = { path: '', kind: 'error' } as const

function locate(finding: Finding, lines: LineCounter, options: { readonly file?: string }): Problem {
  const { line, col } = lines.linePos(finding.offset)
  return {
    ...(options.file === undefined ? {} : { file: options.file }),
    // An empty text has no lines: linePos answers line 0.
    line: Math.max(line, 1),
    column: Math.max(col, 1),
    path: finding.path,
    message: finding.message,
    ...(finding.hint === undefined ? {} : { hint: finding.hint }),
    severity: finding.kind === 'warning' ? 'warning' : 'error',
  }
}
