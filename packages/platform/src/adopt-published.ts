/**
 * Moves the folder `published/`, in which an earlier version kept what `image publish` had stored, into the one store. What lay there
 * stays until its user removes it. Safe to be killed and to run twice: names come first, then blocks, then keys.
 */
import { copyFile, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeDagPb } from '@trusted-pods/protocol/image/block.ts'
import { NextToLast } from 'blockstore-fs/sharding'
import { CID } from 'multiformats/cid'
import { addTree, filesBelow, unlinkIfThere } from './block-files.ts'
import { hasCode } from './error-code.ts'
import { openFileBlockstore, PART_EXTENSION } from './file-blockstore.ts'
import type { ImageCache } from './image-cache.ts'

/** The root of an image's tree is one directory of four entries. */
const MAX_ROOT_BYTES = 4096
const ROOT_ENTRIES = ['blobs', 'index.json', 'manifests', 'oci-layout']

/** 10 s: a sweep, or another program that does the same, is over by then. */
const TRIES = 100
const RETRY_MS = 100

interface Store {
  readonly cache: ImageCache
  /** The cache's folder. */
  readonly folder: string
}

/** What cannot be moved now, since somebody writes, is moved by a later command. */
export async function adoptPublished(published: string, store: Store): Promise<void> {
  for (let tries = 0; tries < TRIES && (await stat(published).catch(() => undefined)); tries++) {
    const isDone = await store.cache.alone(async () => {
      await moveIn(published, store)
      return true
    })
    if (!isDone) await sleep(RETRY_MS)
  }
}

async function moveIn(published: string, { cache, folder }: Store): Promise<void> {
  const files = (await filesBelow(join(published, 'blocks'))).filter((path) => !path.endsWith(PART_EXTENSION))
  const keys = await namesIn(join(published, 'keys'))
  const roots = (await Promise.all(files.map(rootOf))).filter((cid) => cid !== undefined)
  const withKey = keys.map((name) => cidOf(basename(name, '.pem'))).filter((cid) => cid !== undefined)
  for (const cid of [...roots, ...withKey]) await nameTree(cache, cid, published)
  for (const path of files) await move(path, join(folder, 'blocks', relative(join(published, 'blocks'), path)))
  for (const name of keys) await move(join(published, 'keys', name), join(folder, 'keys', name))
  await rm(published, { recursive: true, force: true })
}

async function nameTree(cache: ImageCache, cid: CID, published: string): Promise<void> {
  if (await cache.trees.load(cid)) return
  const old = await openFileBlockstore(join(published, 'blocks'))
  const bytes = await addTree(old, cid, new Set())
  await old.close()
  await cache.trees.save({ cid: `${cid}`, bytes, createdAt: new Date().toISOString(), isKept: true })
}

/** undefined unless the block is the root of an image's tree; files are named by hash, without the codec. */
async function rootOf(path: string): Promise<CID | undefined> {
  try {
    if ((await stat(path)).size > MAX_ROOT_BYTES) return undefined
    const cid = new NextToLast().decode(path).toV1()
    const names = decodeDagPb(cid, await readFile(path)).Links.map(({ Name }) => Name)
    return ROOT_ENTRIES.every((name) => names.includes(name)) ? cid : undefined
  } catch {
    // A small block of another kind, or no block.
    return undefined
  }
}

function cidOf(text: string): CID | undefined {
  try {
    return CID.parse(text)
  } catch {
    // A file of the user's own; it moves like the others.
    return undefined
  }
}

async function move(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 })
  try {
    await rename(from, to)
  } catch (error) {
    // Somebody else has moved it meanwhile.
    if (hasCode(error, 'ENOENT')) return
    if (!hasCode(error, 'EXDEV')) throw error
    const temporary = `${to}${PART_EXTENSION}`
    await copyFile(from, temporary)
    await rename(temporary, to)
    await unlinkIfThere(from)
  }
}

async function namesIn(folder: string): Promise<string[]> {
  // Every image was for the keys of others: no folder.
  return (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.pem'))
}
