/**
 * An IPFS node of the user's own as the place for blocks, instead of our folder: Kubo, by its RPC API. The node is believed in nothing: it
 * has to pin the CID that we computed, and what it gives back is hashed by whoever reads it. Spec: spec/IMAGES.md#ipfs-node.
 */
import { CarWriter } from '@ipld/car'
import { MAX_BLOCK_BYTES } from '@trusted-pods/protocol/image/block.ts'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'
import type { FileBlockstore } from '../file-blockstore.ts'
import { countChunk } from '../free-chunks.ts'
import { connectKubo, type KuboOptions, type KuboRpc, nodeFailed } from './kubo-rpc.ts'
import { OneByOneBlockstore, toBytes } from './one-by-one.ts'

/** Of an answer that is a small JSON object. */
const MAX_JSON_BYTES = 64 * 1024
/** The name that the pins carry in `ipfs pin ls --names`. */
const PIN_NAME = 'trusted-pods'
/** 4 MiB in one call: the node writes and syncs a batch at once, and each block alone would take it several times as long. */
const BATCH_BYTES = 4 * 1024 * 1024
/** A block's bytes lie in itself, in the CAR, in the form that it travels in, and in what the socket holds. */
const CHUNKS_PER_BLOCK = 4
/** The node is asked for what it has, never for what it would have to look for in the network. */
const LOCAL = { offline: 'true' }

export interface IpfsNode {
  readonly url: string
  readonly blockstore: FileBlockstore
  /** Keeps the whole tree there. @throws TrustedPodsError PLATFORM_IPFS_NODE where a block of it is missing. */
  pin(cid: CID): Promise<void>
  /** Gives it to the node's own collection; as well where nothing was pinned. */
  unpin(cid: CID): Promise<void>
}

/** @throws TrustedPodsError PLATFORM_IPFS_NODE where no such node answers, PLATFORM_CONFIG where it refuses us. */
export async function openIpfsNode(options: KuboOptions): Promise<IpfsNode> {
  const rpc = connectKubo(options)
  const url = options.url.href
  const blockstore = new KuboBlockstore(rpc, url)
  const { Version } = await ask(rpc, 'version', { url })
  if (typeof Version !== 'string') throw nodeFailed(`${url} answers, but not as Kubo does: wanted its RPC API`)
  return {
    url,
    blockstore,
    async pin(cid) {
      await blockstore.flush()
      const query = { arg: `${cid}`, recursive: 'true', name: PIN_NAME, ...LOCAL }
      const { Pins } = await ask(rpc, 'pin/add', { url, query })
      if (!Array.isArray(Pins) || !Pins.some((pinned) => isSame(cid, pinned)))
        throw nodeFailed(`the IPFS node at ${url} did not pin ${cid}: blocks of it are missing there`)
    },
    async unpin(cid) {
      await rpc('pin/rm', { query: { arg: `${cid}`, recursive: 'true', ...LOCAL }, maxBytes: MAX_JSON_BYTES })
    },
  }
}

class KuboBlockstore extends OneByOneBlockstore implements FileBlockstore {
  readonly #rpc: KuboRpc
  readonly #url: string
  #batch: CarBlock[] = []
  #batchBytes = 0
  #underWay: Promise<void> = Promise.resolve()

  constructor(rpc: KuboRpc, url: string) {
    super()
    this.#rpc = rpc
    this.#url = url
  }

  /** Kept until a batch is full; that it did not arrive is told by a later call, `flush` at the latest. */
  async put(cid: CID, block: Parameters<Blockstore['put']>[1]): Promise<CID> {
    const bytes = await toBytes(block)
    countChunk(CHUNKS_PER_BLOCK * bytes.length)
    this.#batch.push({ cid, bytes })
    this.#batchBytes += bytes.length
    if (this.#batchBytes >= BATCH_BYTES) await this.#sendBatch()
    return cid
  }

  async flush(): Promise<void> {
    await this.#sendBatch()
    await this.#underWay
  }

  /** One batch travels while the next one fills. */
  async #sendBatch(): Promise<void> {
    const [batch, before] = [this.#batch, this.#underWay]
    this.#batch = []
    this.#batchBytes = 0
    this.#underWay = before.then(() => this.#import(batch))
    // Told by whoever waits for it next.
    this.#underWay.catch(() => {})
    await before
  }

  async #import(batch: readonly CarBlock[]): Promise<void> {
    if (batch.length === 0) return
    const file = await encodeCar(batch)
    const query = { 'pin-roots': 'false', stats: 'true' }
    const { Stats } = await ask(this.#rpc, 'dag/import', { url: this.#url, query, file })
    const count = Object(Stats).BlockCount
    if (count !== batch.length)
      throw nodeFailed(`the IPFS node at ${this.#url} took ${Number(count)} of ${batch.length} blocks`)
  }

  async *get(cid: CID): AsyncGenerator<Uint8Array> {
    await this.flush()
    const block = await this.#rpc('block/get', { query: { arg: `${cid}`, ...LOCAL }, maxBytes: MAX_BLOCK_BYTES })
    if (!block) throw Object.assign(new Error(`no block ${cid}`), { name: 'NotFoundError' })
    countChunk(CHUNKS_PER_BLOCK * block.length)
    yield block
  }

  async has(cid: CID): Promise<boolean> {
    return (await this.sizeOf(cid)) !== undefined
  }

  async sizeOf(cid: CID): Promise<number | undefined> {
    await this.flush()
    const { Size } = await ask(this.#rpc, 'block/stat', { url: this.#url, query: { arg: `${cid}`, ...LOCAL } })
    return typeof Size === 'number' ? Size : undefined
  }

  async close(): Promise<void> {}
}

interface CarBlock {
  readonly cid: CID
  readonly bytes: Uint8Array
}

/** A CAR must name a root; which, is of no weight. */
async function encodeCar(blocks: readonly CarBlock[]): Promise<Uint8Array> {
  const { writer, out } = CarWriter.create(blocks.slice(0, 1).map(({ cid }) => cid))
  const written = Array.fromAsync(out)
  for (const block of blocks) await writer.put(block)
  await writer.close()
  return Buffer.concat(await written)
}

interface Question {
  readonly url: string
  readonly query?: Readonly<Record<string, string>>
  readonly file?: Uint8Array
}

/** An empty object for what the node lacks. */
async function ask(rpc: KuboRpc, command: string, { url, ...call }: Question): Promise<Record<string, unknown>> {
  const answer = await rpc(command, { ...call, maxBytes: MAX_JSON_BYTES })
  if (!answer) return {}
  try {
    return Object(JSON.parse(Buffer.from(answer).toString('utf8')))
  } catch (cause) {
    throw nodeFailed(`${url} answers ${command}, but not as Kubo does: wanted its RPC API`, cause)
  }
}

function isSame(cid: CID, text: unknown): boolean {
  try {
    return CID.parse(String(text)).equals(cid)
  } catch {
    // Whatever it is, not our CID.
    return false
  }
}
