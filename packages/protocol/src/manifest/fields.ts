/** Typed values of YAML nodes. Each reader says what is wrong at the value's place and then returns a neutral value, so that
 * one run finds every problem. Pure. */
import { nearestKey } from './nearest-key.ts'
import { fail, quote, type YamlEntry, type YamlMap, type YamlNode } from './yaml-tree.ts'

export type Fields<K extends string> = { readonly [key in K]?: YamlNode }

export interface FieldOptions {
  /** Words of other formats and what they are called here. */
  readonly synonyms?: Readonly<Record<string, string>>
}

/** The fields of a map by name; unknown keys are reported with the nearest known one. */
export function readFields<K extends string>(
  node: YamlNode,
  keys: readonly K[],
  options: FieldOptions = {},
): Fields<K> {
  const map = readMap(node, `a map with ${keys.join(', ')}`)
  const fields: { [key in K]?: YamlNode } = {}
  for (const entry of map?.entries ?? []) {
    const key = keys.find((known) => known === entry.key)
    if (key === undefined) refuseKey(entry, keys, options)
    else if (isEmpty(entry.value)) refuseEmpty(entry.value)
    else fields[key] = entry.value
  }
  return fields
}

function refuseKey(entry: YamlEntry, keys: readonly string[], options: FieldOptions): void {
  const synonym = Object.entries(options.synonyms ?? {}).find(([word]) => word === entry.key)?.[1]
  const nearest = nearestKey(entry.key, keys)
  const hint = synonym ?? (nearest === undefined ? `known keys: ${keys.join(', ')}` : `did you mean ${nearest}?`)
  fail(entry.place, `unknown key ${quote(entry.key)}`, { hint })
}

/** Whether a map lacks a key altogether; a key without a value is there, and reported by readFields. */
export function isMissing(node: YamlNode, key: string): boolean {
  return node.kind === 'map' && !node.entries.some((entry) => entry.key === key)
}

/** A map, or undefined after reporting; `wanted` is named in the message. */
export function readMap(node: YamlNode, wanted: string): YamlMap | undefined {
  if (node.kind === 'map') return node
  if (isEmpty(node)) refuseEmpty(node)
  else fail(node, `${subject(node)} is ${describe(node)}, wanted ${wanted}`)
  return undefined
}

export interface ListOptions {
  /** What is named in the message: a list of ports. */
  readonly wanted: string
  readonly max: number
}

/** Items of a list, with empty ones reported; nothing where there is no node. */
export function readItems(node: YamlNode | undefined, options: ListOptions): readonly YamlNode[] {
  if (node === undefined) return []
  if (node.kind !== 'list') {
    fail(node, `${subject(node)} is ${describe(node)}, wanted ${options.wanted}`, {
      hint: 'a list has a "- " before each item',
    })
    return []
  }
  checkCount(node, node.items.length, options)
  for (const item of node.items) if (isEmpty(item)) refuseEmpty(item)
  // What is past the limit is not looked at: later checks compare each with each other.
  return node.items.slice(0, options.max).filter((item) => !isEmpty(item))
}

/** Reports a list or map that is longer than the wire takes. */
export function checkCount(node: YamlNode, count: number, options: ListOptions): void {
  if (count > options.max) fail(node, `${count} entries in ${options.wanted}, at most ${options.max} are taken`)
}

/** Any scalar as written; empty after reporting. */
export function readText(node: YamlNode, wanted: string): string {
  if (isEmpty(node)) refuseEmpty(node)
  else if (node.kind === 'scalar') return node.text
  else fail(node, `${subject(node)} is ${describe(node)}, wanted ${wanted}`)
  return ''
}

export function readBoolean(node: YamlNode): boolean {
  if (node.kind === 'scalar' && node.type === 'boolean') return node.text.toLowerCase() === 'true'
  fail(node, `${subject(node)} is ${describe(node)}, wanted true or false`)
  return false
}

export interface IntegerOptions {
  readonly min: number
  readonly max: number
}

/** A whole number in decimal digits, quoted or not; undefined after reporting. */
export function readInteger(node: YamlNode, options: IntegerOptions): number | undefined {
  if (node.kind === 'scalar' && /^\d{1,15}$/.test(node.text)) {
    const value = Number(node.text)
    if (value >= options.min && value <= options.max) return value
  }
  fail(node, `${subject(node)} is ${describe(node)}, wanted a whole number from ${options.min} to ${options.max}`)
  return undefined
}

/** Where a value stands, as the subject of a sentence. */
export function subject(node: YamlNode): string {
  return node.path === '' ? 'the document' : node.path
}

/** A value as a message shows it. */
export function describe(node: YamlNode): string {
  switch (node.kind) {
    case 'map':
      return 'a map'
    case 'list':
      return 'a list'
    case 'scalar':
      return node.type === 'string' ? quote(node.text) : node.text
  }
}

function isEmpty(node: YamlNode): boolean {
  return node.kind === 'scalar' && node.type === 'null'
}

function refuseEmpty(node: YamlNode): void {
  fail(node, `${subject(node)} has no value`, { hint: 'give a value, indent what belongs to it, or remove the key' })
}
