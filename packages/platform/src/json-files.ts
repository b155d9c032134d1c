/** Small JSON files of our own in a folder: what is not there, or damaged, counts as missing. I/O. */
import { readdir, readFile, stat } from 'node:fs/promises'

export async function namesIn(folder: string): Promise<string[]> {
  // Nothing was kept yet: no folder.
  const names = await readdir(folder).catch(() => [])
  return names.filter((name) => name.endsWith('.json'))
}

/** What is damaged counts as missing: it is made again. */
export async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T
  } catch {
    return undefined
  }
}

export async function modifiedAt(path: string): Promise<number> {
  return (await stat(path).catch(() => ({ mtimeMs: 0 }))).mtimeMs
}

export function toJsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}
