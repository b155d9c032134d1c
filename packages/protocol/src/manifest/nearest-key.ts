/** The known word that a mistyped one is likely to be. Pure. */

/** Longest word that is compared: no key of ours is half as long. */
const MAX_WORD = 40

/** The known word with the fewest edits, at most a third of its letters; case does not count. */
export function nearestKey(word: string, known: readonly string[]): string | undefined {
  if (word.length > MAX_WORD) return undefined
  let nearest: { key: string; distance: number } | undefined
  for (const key of known) {
    const distance = editDistance(word.toLowerCase(), key.toLowerCase())
    if (distance > Math.max(1, Math.floor(key.length / 3))) continue
    if (nearest === undefined || distance < nearest.distance) nearest = { key, distance }
  }
  return nearest?.key
}

/** Levenshtein's distance by rows. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (const [row, letter] of [...a].entries()) {
    const current = [row + 1]
    for (const [column, other] of [...b].entries()) {
      const replaced = (previous[column] ?? 0) + (letter === other ? 0 : 1)
      const removed = (previous[column + 1] ?? 0) + 1
      const added = (current[column] ?? 0) + 1
      current.push(Math.min(replaced, removed, added))
    }
    previous = current
  }
  return previous.at(-1) ?? 0
}
