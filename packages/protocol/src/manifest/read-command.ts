/** command and args: a list, or one text that is split into words. Spec: spec/MANIFEST.md#commands. Pure. */
import { MAX_ARGS } from '../wire/protocols.ts'
import { checkCount, type ListOptions, readItems, readText } from './fields.ts'
import { whyBadText } from './names.ts'
import { splitWords } from './shell-words.ts'
import { fail, warn, type YamlNode } from './yaml-tree.ts'

const LIST: ListOptions = { wanted: 'a list of words', max: MAX_ARGS }

/** Nothing where there is no node. */
export function readWords(node: YamlNode | undefined): readonly string[] {
  if (node === undefined) return []
  if (node.kind !== 'list') return splitLine(node)
  const items = readItems(node, LIST)
  return items.map((item) => {
    const word = readText(item, 'a word')
    checkWord(item, word)
    return word
  })
}

function splitLine(node: YamlNode): readonly string[] {
  const line = readText(node, 'a command line, or a list of words')
  if (node.kind !== 'scalar') return []
  const split = splitWords(line)
  if (split.kind === 'unfinished') {
    fail(node, `the command line ${split.message}`, { hint: 'or write a list of words: ["sh", "-c", "…"]' })
    return []
  }
  if (split.words.length === 0)
    fail(node, 'the command line is empty', { hint: 'remove the key to use what the image has' })
  if (split.inert.length > 0) {
    const shown = split.inert.map((char) => (char === '\n' ? 'a line end' : char)).join(' ')
    warn(node, `no shell reads this command line: ${shown} stands for itself`, {
      hint: 'to use a shell: ["sh", "-c", "…"]',
    })
  }
  checkCount(node, split.words.length, LIST)
  for (const word of split.words) checkWord(node, word)
  return split.words
}

function checkWord(node: YamlNode, word: string): void {
  const bad = whyBadText(word)
  if (bad !== undefined) fail(node, `a word of the command line ${bad}`)
}
