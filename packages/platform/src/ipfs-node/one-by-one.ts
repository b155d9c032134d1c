/** A blockstore that has no better way to take many blocks than one after the other. Pure but for the store. */
import type { Blockstore, InputPair, Pair } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'

/** Any iterable of what a store is handed or asked for. */
type Source<T> = Iterable<T> | AsyncIterable<T>

export abstract class OneByOneBlockstore implements Blockstore {
  abstract has(cid: CID): Promise<boolean>
  abstract get(cid: CID): AsyncGenerator<Uint8Array>
  abstract put(cid: CID, block: Parameters<Blockstore['put']>[1]): Promise<CID>

  async *putMany(source: Source<InputPair>): AsyncGenerator<CID> {
    for await (const { cid, bytes } of source) yield this.put(cid, bytes)
  }

  async *getMany(source: Source<CID>): AsyncGenerator<Pair> {
    for await (const cid of source) yield { cid, bytes: this.get(cid) }
  }

  async delete(cid: CID): Promise<void> {
    throw new Error(`block ${cid} is not ours to remove: its pin is`)
  }

  async *deleteMany(source: Source<CID>): AsyncGenerator<CID> {
    for await (const cid of source) {
      await this.delete(cid)
      yield cid
    }
  }

  // biome-ignore lint/correctness/useYield: there is nothing that it could tell
  async *getAll(): AsyncGenerator<Pair> {
    throw new Error('this store does not list its blocks')
  }
}

export async function toBytes(block: Parameters<Blockstore['put']>[1]): Promise<Uint8Array> {
  if (block instanceof Uint8Array) return block
  const parts: Uint8Array[] = []
  for await (const part of block) parts.push(part)
  return Uint8Array.from(Buffer.concat(parts))
}
