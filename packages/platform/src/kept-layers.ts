/** Which layers a publisher's cache keeps: those used last, as far as there is room. Spec: spec/IMAGES.md#cache. I/O. */
import { rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { CachedLayer } from '@trusted-pods/protocol/image/layer-cache.ts'
import { unlinkIfThere } from './block-files.ts'
import { modifiedAt, namesIn, readJson } from './json-files.ts'

export const DAY_MS = 24 * 3600_000
/** A key that leaked opens a layer for no longer than this from when it was made. */
export const MAX_LAYER_AGE_MS = 30 * DAY_MS
/** What nobody names may be under way to be named: no publication takes a day. */
export const MIN_AGE_MS = 24 * 3600_000

/** Layer as it lies in its file. */
export interface StoredLayer extends CachedLayer {
  readonly createdAtMs: number
}

export interface KeepLimits {
  readonly maxBytes: number
  /** Unix milliseconds. */
  readonly now: number
}

/** The latest used first, within the bytes that are allowed; the others are forgotten. */
export async function keptLayers(folder: string, { maxBytes, now }: KeepLimits): Promise<StoredLayer[]> {
  const found: { path: string; usedAtMs: number; layer: StoredLayer | undefined }[] = []
  for (const name of await namesIn(folder)) {
    const path = join(folder, name)
    found.push({ path, usedAtMs: await modifiedAt(path), layer: await readJson<StoredLayer>(path) })
  }
  const kept: StoredLayer[] = []
  let bytes = 0
  for (const { path, usedAtMs, layer } of found.toSorted((a, b) => b.usedAtMs - a.usedAtMs)) {
    const isYoung = layer && now - layer.createdAtMs <= MAX_LAYER_AGE_MS && bytes + layer.size <= maxBytes
    if (layer && (isYoung || now - usedAtMs < MIN_AGE_MS || !(await forget(path, usedAtMs)))) {
      kept.push(layer)
      bytes += layer.size
    }
  }
  return kept
}

/** To be called while nobody writes. */
export async function forgetLayers(folder: string, isUnwanted: (layer: CachedLayer) => boolean): Promise<void> {
  for (const name of await namesIn(folder)) {
    const layer = await readJson<StoredLayer>(join(folder, name))
    if (layer && isUnwanted(layer)) await unlinkIfThere(join(folder, name))
  }
}

/** False where somebody has begun to use it meanwhile. */
async function forget(path: string, usedAtMs: number): Promise<boolean> {
  const aside = `${path}.forgotten`
  await rename(path, aside)
  if ((await modifiedAt(aside)) === usedAtMs) {
    await unlink(aside)
    return true
  }
  await rename(aside, path)
  return false
}
