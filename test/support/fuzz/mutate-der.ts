/** Changes of certificates and revocation lists that a lenient reader of DER might not see. */
import { allNodes, type DerNode, derLength, parseTree, writeTree } from './der-tree.ts'
import type { BytesMutation } from './mutate-bytes.ts'
import type { Random } from './random.ts'

const TAGS = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x16, 0x17, 0x18, 0x30, 0x31, 0x80, 0xa0, 0xa1, 0xa3, 0x1f,
]
const DATES = [
  '200101000000Z',
  '490101000000Z',
  '20491231235959Z',
  '99991231235959Z',
  '2001010000Z',
  '200101000000+0100',
]

type TreeChange = (place: { node: DerNode; siblings: DerNode[] }, random: Random) => void

/** One node of the tree is changed, all lengths above it are made right again. */
const TREE_CHANGES = {
  'a length with leading zeros': ({ node }, random) => {
    node.length = derLength(contentOf(node).length, 1 + random.below(3))
  },
  'an indefinite length': ({ node }) => {
    node.length = new Uint8Array([0x80])
  },
  'a wrong length': ({ node }, random) => {
    const { length } = contentOf(node)
    node.length = derLength(random.pick([0, 1, Math.max(0, length - 1), length + 1, 2 * length, 0xffffff]))
  },
  'a length of many bytes': ({ node }, random) => {
    node.length = new Uint8Array([0x80 | (4 + random.below(120)), 0, 0, 0, 0, 1])
  },
  'another tag': ({ node }, random) => {
    node.tag = random.pick(TAGS)
  },
  'a value left out': ({ node, siblings }) => {
    siblings.splice(siblings.indexOf(node), 1)
  },
  'a value twice': ({ node, siblings }) => {
    siblings.splice(siblings.indexOf(node), 0, node)
  },
  'two values swapped': ({ node, siblings }, random) => {
    const other = random.below(siblings.length)
    const own = siblings.indexOf(node)
    const held = siblings[other]
    if (held === undefined) return
    siblings[own] = held
    siblings[other] = node
  },
  'a value more': ({ node, siblings }, random) => {
    const more = random.pick([
      [0x05, []],
      [0x01, [0xff]],
      [0x02, [0]],
      [0x30, []],
    ] as [number, number[]][])
    siblings.splice(siblings.indexOf(node) + 1, 0, { tag: more[0], content: new Uint8Array(more[1]) })
  },
  'other content': ({ node }, random) => {
    delete node.children
    if (node.tag === 0x17 || node.tag === 0x18) node.content = new TextEncoder().encode(random.pick(DATES))
    else if (node.tag === 0x01) node.content = new Uint8Array([random.pick([0, 1, 0x7f, 0xff])])
    else if (node.tag === 0x02) node.content = new Uint8Array([...Array(random.below(3)).fill(0), random.below(256)])
    else node.content = Uint8Array.from({ length: random.below(40) }, () => random.below(256))
  },
  'an INTEGER with a leading zero': ({ node }) => {
    if (!node.children) node.content = new Uint8Array([0, ...node.content])
  },
  'deep nesting': ({ node }, random) => {
    let inner: DerNode = { tag: 0x30, content: new Uint8Array() }
    for (let depth = 10 + random.below(1000); depth > 0; depth--) {
      inner = { tag: 0x30, content: new Uint8Array(), children: [inner] }
    }
    node.children = [inner]
  },
} as const satisfies Record<string, TreeChange>

export const DER_MUTATIONS: Record<string, BytesMutation> = Object.fromEntries(
  Object.entries<TreeChange>(TREE_CHANGES).map(([name, change]) => [
    name,
    (bytes: Uint8Array, random: Random) => {
      const tree = parseTree(bytes)
      if (!tree || tree.length === 0) return bytes.slice()
      change(random.pick(allNodes(tree)), random)
      return writeTree(tree)
    },
  ]),
)

function contentOf(node: DerNode): Uint8Array {
  return node.children ? writeTree(node.children) : node.content
}
