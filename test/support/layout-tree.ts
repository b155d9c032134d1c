/** Between a tree on a blockstore and an OCI image layout in a folder, by the way of `image publish` and `image fetch`: blobs unchanged. */
import { dirname } from 'node:path'
import { copyLayer } from '@trusted-pods/platform/images/layer-transforms.ts'
import { folderFiles, openLayout } from '@trusted-pods/platform/images/layout-reader.ts'
import { openStage } from '@trusted-pods/platform/images/layout-stage.ts'
import { transformImage } from '@trusted-pods/platform/images/transform-image.ts'
import { openTreeBlobs } from '@trusted-pods/platform/images/tree-blobs.ts'
import { openTree } from '@trusted-pods/platform/images/tree-reader.ts'
import { writeLayoutFolder } from '@trusted-pods/platform/images/write-layout.ts'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'

/** Tagged `latest`. */
export async function treeToLayout(blockstore: Blockstore, cid: Uint8Array, folder: string): Promise<void> {
  await using reader = await openTree(blockstore, CID.decode(cid))
  await using stage = await openStage(dirname(folder))
  const root = await transformImage(reader, stage, { transform: copyLayer })
  await writeLayoutFolder(stage, { path: folder, root, tag: 'latest', replace: false })
}

/** @returns the binary CIDv1 of the tree. */
export async function layoutToTree(folder: string, blockstore: Blockstore): Promise<Uint8Array> {
  await using reader = await openLayout(folderFiles(folder), { name: folder })
  const blobs = openTreeBlobs(blockstore)
  const { cid } = await blobs.writeTree(await transformImage(reader, blobs, { transform: copyLayer }))
  return cid.bytes
}
