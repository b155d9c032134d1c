/**
 * YAML text to a small tree that knows where each value stands: maps, lists and scalars as written. What a manifest has no
 * use for is refused here and met nowhere else: anchors, aliases, tags, directives, several documents, repeated keys, keys
 * that are no text, deep nesting. Nothing is ever expanded. Spec: spec/MANIFEST.md#yaml. Pure.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, type YAMLError } from 'yaml'
import { createReport, type Report } from './problem.ts'

/** Where a value stands, and where to say that it is wrong. */
export interface YamlPlace {
  readonly path: string
  readonly offset: number
  readonly report: Report
}

export interface YamlMap extends YamlPlace {
  readonly kind: 'map'
  readonly entries: readonly YamlEntry[]
}

export interface YamlEntry {
  readonly key: string
  /** The key's own place; the value's path. */
  readonly place: YamlPlace
  readonly value: YamlNode
}

export interface YamlList extends YamlPlace {
  readonly kind: 'list'
  readonly items: readonly YamlNode[]
}

export interface YamlScalar extends YamlPlace {
  readonly kind: 'scalar'
  readonly type: 'string' | 'number' | 'boolean' | 'null'
  /** A string's content; a number or boolean as it was written. */
  readonly text: string
}

export type YamlNode = YamlMap | YamlList | YamlScalar

export interface YamlDocument {
  /** Absent when the text is no YAML or says nothing. */
  readonly root?: YamlNode
  readonly report: Report
}

/** Twice what the format itself needs (containers[].ports[].host is 6). */
const MAX_DEPTH = 16
/** After a first slip the parser reports what follows from it. */
const MAX_SYNTAX_PROBLEMS = 20
const NO_REFERENCES = 'anchors (&), aliases (*) and merge keys (<<) are not taken: write the value out'

export function readYaml(text: string, options: { readonly file?: string } = {}): YamlDocument {
  const lineCounter = new LineCounter()
  const report = createReport(lineCounter, options)
  // uniqueKeys compares each key with each other: quadratic; repeated keys are found below. logLevel: 'silent' would also
  // hide a second document.
  const document = parseDocument(text, {
    lineCounter,
    prettyErrors: false,
    stringKeys: true,
    uniqueKeys: false,
    schema: 'core',
    logLevel: 'error',
  })
  const fatal = reportErrors(document.errors, report)
  const contents: Node | null = document.contents
  refuseDirective(text, { before: contents?.range?.[0] ?? text.length, report })
  if (fatal || contents === null) return { report }
  return { root: toTree(contents, { path: '', offset: 0, report }, 0), report }
}

/** Says that the value at `place` is wrong. */
export function fail(place: YamlPlace, message: string, options: { hint?: string; syntax?: boolean } = {}): void {
  const kind = options.syntax ? 'syntax' : 'error'
  place.report.add({ offset: place.offset, path: place.path, message, hint: options.hint, kind })
}

/** Says that the value at `place` may not be what was meant. */
export function warn(place: YamlPlace, message: string, options: { hint?: string } = {}): void {
  place.report.add({ offset: place.offset, path: place.path, message, hint: options.hint, kind: 'warning' })
}

/** A text in quotes for a message, cut to 80 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 79)}…` : text)
}

/** %YAML 1.1 would change what plain words mean, %TAG what tags do. */
function refuseDirective(text: string, { before, report }: { before: number; report: Report }): void {
  const directive = /^%.*$/m.exec(text)
  if (directive === null || directive.index >= before) return
  fail({ path: '', offset: directive.index, report }, `the directive ${quote(directive[0])} is not taken`, {
    hint: 'the file is read as YAML 1.2: remove the line',
    syntax: true,
  })
}

/** @returns whether what was parsed cannot be trusted to mean what was written. */
function reportErrors(errors: readonly YAMLError[], report: Report): boolean {
  const deep = errors.find((error) => error.code === 'RESOURCE_EXHAUSTION')
  if (deep !== undefined) {
    tooDeep({ path: '', offset: deep.pos[0], report })
    return true
  }
  for (const error of errors.slice(0, MAX_SYNTAX_PROBLEMS)) {
    const [message, hint] = explain(error)
    const syntax = { offset: error.pos[0], path: '', message, kind: 'syntax' } as const
    report.add(hint === undefined ? syntax : { ...syntax, hint })
  }
  return errors.some((error) => error.code !== 'NON_STRING_KEY' && error.code !== 'MULTIPLE_DOCS')
}

function explain({ code, message }: YAMLError): [message: string, hint?: string] {
  if (code === 'NON_STRING_KEY') return ['a key is not plain text', 'keys are words, without brackets, tags or aliases']
  if (code === 'MULTIPLE_DOCS') return ['the file holds more than one document', 'remove what follows ---']
  if (code === 'TAB_AS_INDENT') return ['a tab indents this line', 'YAML indents with spaces']
  if (/closing ["']quote/.test(message)) return ['the text ends within a quoted value', 'close the quote']
  return [sentence(message)]
}

function sentence(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1)
}

function tooDeep(place: YamlPlace): void {
  fail(place, `nested more than ${MAX_DEPTH} levels deep`, { syntax: true })
}

function toTree(node: Node, place: YamlPlace, depth: number): YamlNode {
  const at: YamlPlace = { ...place, offset: node.range?.[0] ?? place.offset }
  refuseProperties(node, at)
  if (depth > MAX_DEPTH) tooDeep(at)
  else if (isMap(node)) return { ...at, kind: 'map', entries: toEntries(node.items, at, depth + 1) }
  else if (isSeq(node)) return { ...at, kind: 'list', items: toItems(node.items, at, depth + 1) }
  else if (isScalar(node)) return { ...at, kind: 'scalar', ...scalarText(node.value, node.source) }
  return { ...at, kind: 'scalar', type: 'string', text: '' }
}

function refuseProperties(node: Node, at: YamlPlace): void {
  if (isAlias(node)) {
    fail(at, `the alias ${quote(`*${node.source}`)} is not taken`, { hint: NO_REFERENCES, syntax: true })
  } else if ('anchor' in node && node.anchor !== undefined) {
    fail(at, `the anchor ${quote(`&${String(node.anchor)}`)} is not taken`, { hint: NO_REFERENCES, syntax: true })
  }
  if (node.tag !== undefined && !isAlias(node)) {
    fail(at, `the tag ${quote(node.tag)} is not taken`, { hint: 'write a text in quotes instead', syntax: true })
  }
}

function toItems(items: readonly unknown[], place: YamlPlace, depth: number): YamlNode[] {
  return items.map((item, index) => toTree(item as Node, { ...place, path: `${place.path}[${index}]` }, depth))
}

function toEntries(pairs: readonly Pair<unknown, unknown>[], place: YamlPlace, depth: number): YamlEntry[] {
  const seen = new Map<string, YamlPlace>()
  const entries: YamlEntry[] = []
  for (const pair of pairs) {
    const keyNode = pair.key
    if (!isScalar(keyNode)) continue // reported as NON_STRING_KEY
    const key = String(keyNode.value)
    const keyPlace: YamlPlace = {
      path: joinPath(place.path, key),
      offset: keyNode.range?.[0] ?? place.offset,
      report: place.report,
    }
    refuseProperties(keyNode, keyPlace)
    if (seen.has(key)) fail(keyPlace, `the key ${quote(key)} is written twice`, { syntax: true })
    else entries.push({ key, place: keyPlace, value: toValue(pair.value, keyPlace, depth) })
    seen.set(key, keyPlace)
  }
  return entries
}

/** `{a}` and `? a` have a key and nothing else. */
function toValue(value: unknown, keyPlace: YamlPlace, depth: number): YamlNode {
  if (value === null || value === undefined) return { ...keyPlace, kind: 'scalar', type: 'null', text: '' }
  const node = toTree(value as Node, keyPlace, depth)
  // A value that is not written stands where its key does: that is what a person looks for.
  return node.kind === 'scalar' && node.type === 'null' ? { ...node, offset: keyPlace.offset } : node
}

function joinPath(parent: string, key: string): string {
  if (!/^[A-Za-z_][\w-]*$/.test(key)) return `${parent}[${quote(key)}]`
  return parent === '' ? key : `${parent}.${key}`
}

function scalarText(value: unknown, source: string | undefined): Pick<YamlScalar, 'type' | 'text'> {
  if (value === null) return { type: 'null', text: '' }
  if (typeof value === 'string') return { type: 'string', text: value }
  return { type: typeof value === 'boolean' ? 'boolean' : 'number', text: source ?? String(value) }
}
