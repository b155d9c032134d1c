/** What is known of each tree in a publisher's store: one small file each, written whole or not at all. Spec: spec/IMAGES.md#store. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CID } from 'multiformats/cid'
import { unlinkIfThere } from './block-files.ts'
import { namesIn, readJson } from './json-files.ts'
import { storeSecret } from './secret-file.ts'

export interface TreeRecord {
  /** CIDv1. */
  readonly cid: string
  /** Of all its blocks, as far as it is known. */
  readonly bytes: number
  /** ISO 8601. */
  readonly createdAt: string
  /** What the user called its source. */
  readonly name?: string
  /** Whether its user wants it to stay; otherwise it goes when no pin needs it any more. */
  readonly isKept: boolean
  /** ISO 8601: until then it stays in any case. */
  readonly until?: string
  /** RPC address of the IPFS node that has its blocks; absent: they are in the store's own folder. */
  readonly ipfsApi?: string
}

export class TreeRecords {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async load(cid: CID): Promise<TreeRecord | undefined> {
    return readRecord(this.#path(cid))
  }

  async save(record: TreeRecord): Promise<void> {
    await storeSecret(this.#path(CID.parse(record.cid)), Buffer.from(JSON.stringify(record)))
  }

  async remove(cid: CID): Promise<void> {
    await unlinkIfThere(this.#path(cid))
  }

  /** The newest first. */
  async list(): Promise<TreeRecord[]> {
    const files = (await namesIn(this.#folder)).map((name) => join(this.#folder, name))
    const records = (await Promise.all(files.map(readRecord))).filter((record) => record !== undefined)
    return records.toSorted((a, b) => b.createdAt.localeCompare(a.createdAt))
  }

  /** Removes keys of images that there are no more. To be called while nobody writes: a key comes before its record. */
  async removeOrphanKeys(folder: string): Promise<void> {
    const known = new Set((await this.list()).map(({ cid }) => `${cid}.pem`))
    // No image was encrypted for its own key yet: no folder.
    for (const name of await readdir(folder).catch(() => []))
      if (!known.has(name)) await unlinkIfThere(join(folder, name))
  }

  #path(cid: CID): string {
    return join(this.#folder, `${cid}.json`)
  }
}

/** Files are written whole, so that damage is a disk's doing. */
async function readRecord(path: string): Promise<TreeRecord | undefined> {
  const record = await readJson<TreeRecord>(path)
  try {
    CID.parse(record?.cid ?? '')
    return record
  } catch {
    return undefined
  }
}
