/** A command line as words: quotes and backslashes as in POSIX sh (2.2), no expansion, no operators, no comments. Spec:
 * spec/MANIFEST.md#commands. Pure. */

export type ShellWords =
  | {
      readonly kind: 'words'
      readonly words: readonly string[]
      /** Characters outside single quotes that a shell would act on and that stay as they are here. */
      readonly inert: readonly string[]
    }
  | { readonly kind: 'unfinished'; readonly message: string }

/** Newline: a shell would begin another command. */
const INERT = new Set(['$', '`', '|', '&', ';', '<', '>', '(', ')', '\n'])
/** What a backslash takes its meaning from within double quotes; before anything else it stays. */
const ESCAPED_IN_QUOTES = new Set(['$', '`', '"', '\\'])

interface Scan {
  readonly text: string
  /** Where the blanks at the end begin. */
  readonly inkEnd: number
  at: number
  word: string | undefined
  readonly words: string[]
  readonly inert: Set<string>
}

export function splitWords(text: string): ShellWords {
  const scan: Scan = { text, inkEnd: text.trimEnd().length, at: 0, word: undefined, words: [], inert: new Set() }
  while (scan.at < scan.text.length) {
    const problem = step(scan)
    if (problem !== undefined) return { kind: 'unfinished', message: problem }
  }
  endWord(scan)
  return { kind: 'words', words: scan.words, inert: [...scan.inert] }
}

function step(scan: Scan): string | undefined {
  const char = scan.text.charAt(scan.at++)
  if (char === "'") return singleQuoted(scan)
  if (char === '"') return doubleQuoted(scan)
  if (char === '\\') return escaped(scan)
  if (INERT.has(char) && !isOuterNewline(char, scan)) scan.inert.add(char)
  if (/[ \t\r\n]/.test(char)) endWord(scan)
  else scan.word = (scan.word ?? '') + char
  return undefined
}

/** Line ends before the first word and after the last part no commands. */
function isOuterNewline(char: string, scan: Scan): boolean {
  const before = scan.words.length === 0 && scan.word === undefined
  return char === '\n' && (before || scan.at > scan.inkEnd)
}

function endWord(scan: Scan): void {
  if (scan.word !== undefined) scan.words.push(scan.word)
  scan.word = undefined
}

function escaped(scan: Scan): string | undefined {
  if (scan.at >= scan.text.length) return 'ends in a backslash'
  const char = scan.text.charAt(scan.at++)
  // A backslash before a line's end joins two lines.
  if (char !== '\n') scan.word = (scan.word ?? '') + char
  return undefined
}

function singleQuoted(scan: Scan): string | undefined {
  const end = scan.text.indexOf("'", scan.at)
  if (end < 0) return "a ' is never closed"
  scan.word = (scan.word ?? '') + scan.text.slice(scan.at, end)
  scan.at = end + 1
  return undefined
}

function doubleQuoted(scan: Scan): string | undefined {
  scan.word ??= ''
  while (scan.at < scan.text.length) {
    const char = scan.text.charAt(scan.at++)
    if (char === '"') return undefined
    if (char === '$' || char === '`') scan.inert.add(char)
    if (char !== '\\') scan.word += char
    else if (scan.text.charAt(scan.at) === '\n') scan.at++
    else if (ESCAPED_IN_QUOTES.has(scan.text.charAt(scan.at))) scan.word += scan.text.charAt(scan.at++)
    else scan.word += char
  }
  return 'a " is never closed'
}
