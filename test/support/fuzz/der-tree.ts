/** DER as a tree that can be changed and written again, with every length right unless one is meant to be wrong. */
import { join } from './mutate-bytes.ts'

export interface DerNode {
  tag: number
  /** Of a constructed value. */
  children?: DerNode[]
  /** Of any other. */
  content: Uint8Array
  /** In place of the right length bytes. */
  length?: Uint8Array
}

/** Lenient: what cannot be read as values is left as content. */
export function parseTree(bytes: Uint8Array, depth = 0): DerNode[] | undefined {
  const nodes: DerNode[] = []
  for (let at = 0; at < bytes.length; ) {
    const header = readHeader(bytes, at)
    if (header === undefined) return undefined
    const { tag, contentAt, end } = header
    const content = bytes.subarray(contentAt, end)
    const isOpaque = tag === 0x04 || tag === 0x03
    const inner = tag === 0x03 ? content.subarray(1) : content
    const children = (tag & 0x20) !== 0 || isOpaque ? depth < 12 && parseTree(inner, depth + 1) : false
    // A string whose content happens to be DER is taken for its content only where it is wrapped DER as in extensions.
    if (children && (!isOpaque || tag === 0x04)) nodes.push({ tag, content, children })
    else nodes.push({ tag, content })
    at = end
  }
  return nodes
}

function readHeader(bytes: Uint8Array, at: number): { tag: number; contentAt: number; end: number } | undefined {
  const tag = bytes[at]
  const first = bytes[at + 1]
  if (tag === undefined || first === undefined) return undefined
  const count = first < 0x80 ? 0 : first & 0x7f
  if (count > 3) return undefined
  let length = count === 0 ? first : 0
  for (let i = 0; i < count; i++) length = length * 256 + (bytes[at + 2 + i] ?? 0)
  const contentAt = at + 2 + count
  return contentAt + length <= bytes.length ? { tag, contentAt, end: contentAt + length } : undefined
}

export function writeTree(nodes: readonly DerNode[]): Uint8Array {
  return join(
    ...nodes.map((node) => {
      const content = node.children ? writeTree(node.children) : node.content
      return join(new Uint8Array([node.tag]), node.length ?? derLength(content.length), content)
    }),
  )
}

/** Length bytes; with `extra`, as many leading zeros that DER forbids. */
export function derLength(length: number, extra = 0): Uint8Array {
  if (length < 0x80 && extra === 0) return new Uint8Array([length])
  const digits: number[] = []
  for (let rest = length; rest > 0 || digits.length === 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  for (let i = 0; i < extra; i++) digits.unshift(0)
  return new Uint8Array([0x80 | digits.length, ...digits])
}

/** All nodes, parents first, each with the list that holds it. */
export function allNodes(nodes: DerNode[]): { node: DerNode; siblings: DerNode[] }[] {
  return nodes.flatMap((node) => [{ node, siblings: nodes }, ...(node.children ? allNodes(node.children) : [])])
}
