/** Small images to publish: layers as real tars, a config that fits them, a blockstore in memory. */
import { createHash, randomBytes } from 'node:crypto'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { tarFile, writeTar } from '@trusted-pods/platform/tar-writer.ts'
import type { ImageSource, ImageSourceLayer } from '@trusted-pods/protocol/image/image-source.ts'
import { type Compression, layerType } from '@trusted-pods/protocol/image/media-types.ts'

export const sha256Text = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

export async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of bytes) parts.push(chunk)
  return Buffer.concat(parts)
}

/** An uncompressed tar with one file of random bytes: two of them are never equal. */
export async function randomTar(size: number, name = 'data.bin'): Promise<Buffer> {
  return collect(writeTar([tarFile(name, randomBytes(size))]))
}

export function packLayer(tar: Uint8Array, compression: Compression): Uint8Array {
  if (compression === 'none') return tar
  return compression === 'gzip' ? gzipSync(tar, { level: 1 }) : zstdCompressSync(tar)
}

export function encodeConfig(diffIds: readonly string[], more: object = {}): Uint8Array {
  const config = {
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['/hello'] },
    rootfs: { type: 'layers', diff_ids: diffIds },
  }
  return Buffer.from(JSON.stringify({ ...config, ...more }))
}

export interface FixtureLayer {
  readonly tar: Uint8Array
  readonly compression?: Compression
}

export function imageSource(layers: readonly FixtureLayer[], overrides: Partial<ImageSource> = {}): ImageSource {
  return {
    name: 'fixture:latest',
    config: encodeConfig(layers.map(({ tar }) => sha256Text(tar))),
    layers: layers.map(toSourceLayer),
    async [Symbol.asyncDispose]() {},
    ...overrides,
  }
}

function toSourceLayer({ tar, compression = 'none' }: FixtureLayer): ImageSourceLayer {
  const packed = packLayer(tar, compression)
  return {
    mediaType: layerType(compression),
    size: packed.length,
    diffId: sha256Text(tar),
    async *open() {
      for (let at = 0; at < packed.length; at += 65_536) yield packed.subarray(at, at + 65_536)
    },
  }
}
