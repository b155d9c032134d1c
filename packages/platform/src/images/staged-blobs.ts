/** Everything below the root document of a stage, in an order in which each is there before it is named. */
import { asJsonArray, parseJsonObject } from '@trusted-pods/protocol/image/json-object.ts'
import { parseDescriptor } from '@trusted-pods/protocol/image/oci-documents.ts'
import type { Blob } from './image-reader.ts'
import { type LayoutStage, readStaged } from './layout-stage.ts'
import { isIndexType, isManifestType } from './manifest-types.ts'

/** Without the root itself; each digest once. */
export async function stagedBlobs(stage: LayoutStage, root: Blob): Promise<readonly Blob[]> {
  const found = new Map<string, Blob>()
  for (const child of await childrenOf(stage, root)) {
    for (const blob of await childrenOf(stage, child)) found.set(blob.digest, blob)
    found.set(child.digest, child)
  }
  return [...found.values()]
}

async function childrenOf(stage: LayoutStage, document: Blob): Promise<readonly Blob[]> {
  const { mediaType } = document
  if (!isManifestType(mediaType) && !isIndexType(mediaType)) return []
  const { manifests, config, layers } = parseJsonObject(await readStaged(stage, document), 'document')
  const children = isIndexType(mediaType)
    ? asJsonArray(manifests, 'manifests')
    : [config, ...asJsonArray(layers, 'layers')]
  return children.map((child) => parseDescriptor(child, 'descriptor'))
}
