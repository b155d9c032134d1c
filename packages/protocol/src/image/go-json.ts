/**
 * What an engine could read otherwise than we do in a document that both of us parse. Go's parser takes a key in any case, and merges
 * objects that are there twice; JavaScript's takes it as it is spelled, and the last one. Pure.
 */
import { refused } from './refused.ts'

/** Keys as they must be spelled: of the document under '', of an object in it under its folded key. What lies deeper is not looked at. */
export type Spelling = Readonly<Record<string, readonly string[]>>

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],]/g

interface Level {
  /** undefined: a list. */
  readonly seen: Set<string> | undefined
  /** Where in the spelling it is looked up; undefined: nowhere. */
  readonly place: string | undefined
  /** Of the value that comes; undefined: a key comes. */
  key: string | undefined
}

/** @param text is JSON. @throws TrustedPodsError PROVISION_IMAGE_REFUSED for a key of such an object that is there twice or spelled otherwise. */
export function refuseOtherReadings(text: string, spelling: Spelling, name: string): void {
  const levels: Level[] = []
  for (const [token] of text.matchAll(TOKEN)) {
    const level = levels.at(-1)
    if (token === '{') levels.push({ seen: new Set(), place: placeBelow(levels), key: undefined })
    else if (token === '[') levels.push({ seen: undefined, place: undefined, key: undefined })
    else if (token === '}' || token === ']') levels.pop()
    else if (token === ',') {
      if (level) level.key = undefined
    } else if (level?.seen && level.key === undefined)
      level.key = checkKey(JSON.parse(token), level, { spelling, name })
  }
}

function placeBelow(levels: readonly Level[]): string | undefined {
  return levels.length === 0 ? '' : levels.length === 1 ? levels[0]?.key : undefined
}

/** @returns the key as Go compares it. */
function checkKey(
  key: string,
  { seen, place }: Level,
  { spelling, name }: { spelling: Spelling; name: string },
): string {
  const folded = fold(key)
  const known = place !== undefined && Object.hasOwn(spelling, place) ? spelling[place] : undefined
  if (known) {
    const shown = JSON.stringify(key.slice(0, 64))
    if (seen?.has(folded)) throw refused(`${name}: ${shown} is there twice, in whatever case`)
    if (known.some((wanted) => wanted !== key && fold(wanted) === folded))
      throw refused(`${name}: ${shown} is spelled otherwise than it must be`)
    seen?.add(folded)
  }
  return folded
}

/** Upper case first: the long s and the Kelvin sign count as s and k. */
function fold(key: string): string {
  return key.toUpperCase().toLowerCase()
}
