/** A plain image on a stage as an engine takes it: every layer an uncompressed tar that its diff_id proves. */

import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import { layerCompression } from '@trusted-pods/protocol/image/media-types.ts'
import { type Descriptor, parseImageConfig, parseImageManifest } from '@trusted-pods/protocol/image/oci-documents.ts'
import type { OpenedImage, OpenedLayer } from '@trusted-pods/protocol/image/opened-image.ts'
import { unpacked } from './compression.ts'
import type { Blob, ReadOptions } from './image-reader.ts'
import { asInvalidImage } from './invalid-image.ts'
import { type LayoutStage, readStaged } from './layout-stage.ts'
import { isIndexType } from './manifest-types.ts'

/** @throws TrustedPodsError MANIFEST_IMAGE_INVALID for several platforms, and for layers that are encrypted: an engine's archive
 * has no place for their keys, so that what it then holds could never be opened. */
export async function openStagedImage(
  stage: LayoutStage,
  root: Blob,
  { signal }: ReadOptions = {},
): Promise<OpenedImage> {
  if (isIndexType(root.mediaType))
    throw invalidImage('an engine or docker-archive takes one platform: leave out --all, or write to oci: or docker://')
  return asInvalidImage('the image', async () => {
    const manifest = parseImageManifest(await readStaged(stage, root))
    const config = await readStaged(stage, manifest.config)
    const { diffIds } = parseImageConfig(config)
    const layers: OpenedLayer[] = []
    for (const [i, layer] of manifest.layers.entries())
      layers.push(await openLayer(stage, layer, { diffId: diffIds[i] ?? '', signal }))
    return { digest: root.digest, config, layers }
  })
}

async function openLayer(
  stage: LayoutStage,
  { mediaType, digest }: Descriptor,
  { diffId, signal }: ReadOptions & { diffId: string },
): Promise<OpenedLayer> {
  const compression = layerCompression(mediaType)
  if (!compression)
    throw invalidImage(
      `an engine or docker-archive cannot keep a layer of type ${mediaType.slice(0, 128)}: write to oci:, oci-archive: or docker://`,
    )
  const tar = await stage.put(unpacked(stage.open(digest), compression), { signal })
  if (tar.digest !== diffId) throw invalidImage(`a layer is ${tar.digest}, the config's diff_id says ${diffId}`)
  return { diffId, size: tar.size, open: () => stage.open(tar.digest) }
}
