/**
 * An image's tree as a CAR file (CARv1), the form in which IPFS programs hand blocks around: `ipfs dag import` takes it, and what
 * `ipfs dag export` writes comes in. Spec: spec/IMAGES.md#car.
 */
import { CarBlockIterator, CarWriter } from '@ipld/car'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  checkCid,
  decodeDagPb,
  isBlockOf,
  isDagPb,
  MAX_BLOCK_BYTES,
  parseTreeCid,
  readBlock,
} from '@trusted-pods/protocol/image/block.ts'
import { refused } from '@trusted-pods/protocol/image/refused.ts'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'

export interface CarOptions {
  readonly signal?: AbortSignal
}

export interface ImportCarOptions extends CarOptions {
  /** Cap on all blocks together. */
  readonly maxBytes: number
}

/** Each block of the tree once, parents before children, in the order in which they are read.
 * @throws TrustedPodsError PROVISION_IMAGE_FETCH where a block is missing or damaged. */
export async function* exportCar(
  blockstore: Blockstore,
  cid: Uint8Array,
  { signal }: CarOptions = {},
): AsyncGenerator<Uint8Array> {
  const root = parseTreeCid(cid)
  const { writer, out } = CarWriter.create(root)
  const writing = writeTree(blockstore, root, { put: (block) => writer.put(block), ...(signal && { signal }) }).then(
    () => writer.close(),
  )
  // Told below, once what was written before has been taken.
  writing.catch(() => void writer.close())
  yield* out
  await writing
}

interface TreeWriter extends CarOptions {
  put(block: { cid: CID; bytes: Uint8Array }): Promise<void>
}

async function writeTree(blockstore: Blockstore, root: CID, { put, signal }: TreeWriter): Promise<void> {
  const seen = new Set<string>()
  const pending = [root]
  for (let cid = pending.pop(); cid; cid = pending.pop()) {
    if (seen.has(cid.toString())) continue
    seen.add(cid.toString())
    const bytes = await readBlock(blockstore, cid, signal)
    await put({ cid, bytes })
    if (isDagPb(cid))
      pending.push(
        ...decodeDagPb(cid, bytes)
          .Links.map(({ Hash }) => Hash)
          .toReversed(),
      )
  }
}

/**
 * Puts the blocks of a CAR with one root on the store, each hashed first, which no CAR library does, and sees that the whole tree is there.
 * @returns the binary CIDv1 of the tree. @throws TrustedPodsError PROVISION_IMAGE_REFUSED, PROVISION_IMAGE_FETCH for a tree with holes.
 */
export async function importCar(
  car: AsyncIterable<Uint8Array>,
  blockstore: Blockstore,
  { maxBytes, signal }: ImportCarOptions,
): Promise<Uint8Array> {
  const blocks = await openCar(bounded(car, maxBytes, signal))
  const [root, ...others] = await blocks.getRoots()
  if (!root || others.length > 0) throw refused(`the CAR has ${others.length + (root ? 1 : 0)} roots, wanted 1`)
  const cid = parseTreeCid(root.bytes)
  try {
    for await (const { cid, bytes } of blocks) await putBlock(blockstore, cid, bytes)
  } catch (error) {
    throw toRefusal(error)
  }
  await writeTree(blockstore, cid, { put: async () => {}, ...(signal && { signal }) })
  return cid.bytes
}

async function putBlock(blockstore: Blockstore, cid: CID, bytes: Uint8Array): Promise<void> {
  checkCid(cid)
  if (bytes.length > MAX_BLOCK_BYTES)
    throw refused(`block ${cid} has ${bytes.length} bytes, at most ${MAX_BLOCK_BYTES}`)
  if (!(await isBlockOf(cid, bytes))) throw refused(`what the CAR has as block ${cid} has another hash`)
  await blockstore.put(cid, bytes)
}

async function openCar(car: AsyncIterable<Uint8Array>): Promise<CarBlockIterator> {
  try {
    return await CarBlockIterator.fromIterable(car)
  } catch (error) {
    throw toRefusal(error)
  }
}

/** What the reader may take in all: a block's length prefix alone could otherwise make it wait for ever. */
async function* bounded(car: AsyncIterable<Uint8Array>, maxBytes: number, signal?: AbortSignal) {
  let length = 0
  for await (const chunk of car) {
    signal?.throwIfAborted()
    length += chunk.length
    if (length > maxBytes) throw refused(`the CAR has over ${maxBytes} bytes, the most that is allowed`)
    yield chunk
  }
}

function toRefusal(error: unknown): unknown {
  if (error instanceof TrustedPodsError || !(error instanceof Error) || error.name === 'AbortError') return error
  return refused(`this is no CAR file: ${error.message.slice(0, 200)}`, error)
}
