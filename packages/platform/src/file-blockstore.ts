/** IPFS blocks in a folder. */
import { FsBlockstore } from 'blockstore-fs'
import type { Blockstore } from 'interface-blockstore'

/** Open; the caller closes it. */
export async function openFileBlockstore(folder: string): Promise<Blockstore & { close(): Promise<void> }> {
  const store = new FsBlockstore(folder)
  await store.open()
  return store
}
