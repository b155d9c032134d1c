/** An image made of files in memory, as our own small ones are: no registry, the same bytes each time. Pure. */
import { createHash } from 'node:crypto'
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'
import { type FileEntry, oneChunk, packFiles } from './file-tar.ts'

export interface ScratchImage {
  /** The files of each layer, base first. */
  readonly layers: readonly (readonly FileEntry[])[]
  /** `config` of the OCI image config: Cmd, Env and what else a container starts with. */
  readonly config: object
  /** As OCI names it: amd64, arm64. */
  readonly architecture: string
}

/** Named by the digest of its config, which names its layers. */
export async function buildScratchImage({ layers, config, architecture }: ScratchImage): Promise<OpenedImage> {
  const tars = await Promise.all(layers.map((files) => packFiles(files)))
  const diffIds = tars.map((tar) => digestOf(tar))
  const imageConfig = {
    created: '1970-01-01T00:00:00Z',
    architecture,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: diffIds.map(() => ({ created: '1970-01-01T00:00:00Z', created_by: 'trusted-pods' })),
  }
  const bytes = new TextEncoder().encode(JSON.stringify(imageConfig))
  return {
    digest: digestOf(bytes),
    config: bytes,
    layers: tars.map((tar, i) => ({ diffId: diffIds[i] ?? '', size: tar.length, open: () => oneChunk(tar) })),
  }
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
