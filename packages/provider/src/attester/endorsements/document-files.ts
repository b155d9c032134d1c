/** Documents on disk: one file each, written whole or not at all. What cannot be read is as if it were not there. */
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Document } from './document.ts'

export class DocumentFiles {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** undefined: none, or one that an older version or a broken disk has written. */
  async load(url: string): Promise<Document | undefined> {
    try {
      return fromJson(await readFile(this.#path(url), 'utf8'), url)
    } catch {
      // A cache: what is missing or broken is fetched again.
      return undefined
    }
  }

  /** The old file stays until the new one is on the disk. */
  async save(url: string, document: Document): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const draft = join(this.#folder, `${randomUUID()}.tmp`)
    try {
      const file = await open(draft, 'wx', 0o600)
      try {
        await file.writeFile(toJson(url, document))
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(draft, this.#path(url))
    } catch (error) {
      await rm(draft, { force: true })
      throw error
    }
  }

  #path(url: string): string {
    return join(this.#folder, `${createHash('sha256').update(url).digest('hex').slice(0, 32)}.json`)
  }
}

function toJson(url: string, { parts, goodUntil, fetchedAt }: Document): string {
  const base64 = parts.map((part) => Buffer.from(part).toString('base64'))
  return JSON.stringify({ url, fetchedAt, goodUntil, parts: base64 })
}

/** @throws TypeError */
function fromJson(text: string, url: string): Document {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null) throw new TypeError('no object')
  const fields = value as Record<string, unknown>
  const goodUntil = new Date(String(fields.goodUntil))
  const fetchedAt = new Date(String(fields.fetchedAt))
  const isWhole =
    fields.url === url && Array.isArray(fields.parts) && fields.parts.every((part) => typeof part === 'string')
  if (!isWhole || Number.isNaN(goodUntil.getTime()) || Number.isNaN(fetchedAt.getTime())) throw new TypeError('broken')
  const parts = (fields.parts as string[]).map((part) => new Uint8Array(Buffer.from(part, 'base64')))
  return { parts, goodUntil, fetchedAt }
}
