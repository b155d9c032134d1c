/** Several blockstores as one: a block is read from the first that has it, and written to the last. */
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import type { FileBlockstore } from '../file-blockstore.ts'
import { OneByOneBlockstore } from './one-by-one.ts'

/** Opened when the ones before lack something. */
export type LazyStore = () => Promise<FileBlockstore>

export class BlockstoreChain extends OneByOneBlockstore {
  readonly #stores: readonly LazyStore[]

  /** @param stores at least one. */
  constructor(stores: readonly LazyStore[]) {
    super()
    this.#stores = stores
  }

  async has(cid: CID): Promise<boolean> {
    return (await this.#find(cid)) !== undefined
  }

  async *get(cid: CID): AsyncGenerator<Uint8Array> {
    const store = await this.#find(cid)
    if (!store) throw Object.assign(new Error(`no block ${cid}`), { name: 'NotFoundError' })
    yield* store.get(cid)
  }

  async put(cid: CID, block: Parameters<Blockstore['put']>[1]): Promise<CID> {
    const last = await this.#stores.at(-1)?.()
    if (!last) throw new Error('no store')
    return last.put(cid, block)
  }

  async #find(cid: CID): Promise<FileBlockstore | undefined> {
    for (const open of this.#stores) {
      const store = await open()
      if ((await store.sizeOf(cid)) !== undefined) return store
    }
    return undefined
  }
}
