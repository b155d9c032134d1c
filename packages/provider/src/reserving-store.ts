/** Blocks of images go to the disk only while its reserve is free: what a pod is promised is not set aside, and others fetch too. */
import type { FileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { OneByOneBlockstore } from '@trusted-pods/platform/ipfs-node/one-by-one.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { requireDiskSpace } from './disk.ts'

export interface Reserve {
  /** Where the blocks lie. */
  readonly folder: string
  /** Free space that stays. */
  readonly bytes: number
}

export class ReservingStore extends OneByOneBlockstore {
  readonly #store: FileBlockstore
  readonly #reserve: Reserve

  constructor(store: FileBlockstore, reserve: Reserve) {
    super()
    this.#store = store
    this.#reserve = reserve
  }

  has(cid: CID): Promise<boolean> {
    return Promise.resolve(this.#store.has(cid))
  }

  async *get(cid: CID): AsyncGenerator<Uint8Array> {
    yield* this.#store.get(cid)
  }

  /** @throws TrustedPodsError PROVISION_IMAGE_FETCH where the disk has no more to give. */
  async put(cid: CID, block: Parameters<Blockstore['put']>[1]): Promise<CID> {
    await requireDiskSpace(this.#reserve.folder, this.#reserve.bytes).catch((cause: unknown) => {
      // How full it is concerns the operator.
      throw new TrustedPodsError('PROVISION_IMAGE_FETCH', "the provider's disk has no room for more of the image", {
        cause,
      })
    })
    return this.#store.put(cid, block)
  }
}
