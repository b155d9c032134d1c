/** Images that were published from this machine: blocks that stay, and the keys that open them. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { loadPrivateKey, toPem } from '@trusted-pods/platform/images/key-files.ts'
import { storeSecret } from '@trusted-pods/platform/secret-file.ts'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import type { Context } from './context.ts'

export interface ImageStore extends AsyncDisposable {
  /** Opened when it is first asked for. */
  blockstore(): Promise<Blockstore>
  /** Where the key of an image lies that was encrypted here for its own key. */
  keyPath(cid: CID): string
  saveKey(cid: CID, privateKey: Uint8Array): Promise<void>
  /** PKCS#8 DER; undefined: no key of this image is here. */
  loadKey(cid: CID): Promise<Uint8Array | undefined>
}

export function openImageStore({ stateFolder }: Pick<Context, 'stateFolder'>): ImageStore {
  const folder = join(stateFolder, 'published')
  const keyPath = (cid: CID) => join(folder, 'keys', `${cid}.pem`)
  let opened: ReturnType<typeof openFileBlockstore> | undefined
  return {
    keyPath,
    blockstore() {
      opened ??= openFileBlockstore(join(folder, 'blocks'))
      return opened
    },
    saveKey: (cid, privateKey) => storeSecret(keyPath(cid), Buffer.from(toPem(privateKey))),
    async loadKey(cid) {
      // No key is here for most images.
      const there = await stat(keyPath(cid)).catch(() => undefined)
      return there && loadPrivateKey(keyPath(cid))
    },
    async [Symbol.asyncDispose]() {
      await (await opened)?.close()
    },
  }
}
