/** The encrypted blocks of one deployment, in a folder of its own: gone when its pod runs. */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import type { Blockstore } from 'interface-blockstore'
import type { Context } from './context.ts'

/** Closing leaves the blocks where they are. */
export async function openBlocks(
  context: Context,
  leaseId: string,
): Promise<{ blockstore: Blockstore } & AsyncDisposable> {
  const blockstore = await openFileBlockstore(blocksFolder(context, leaseId))
  return { blockstore, [Symbol.asyncDispose]: () => blockstore.close() }
}

export async function removeBlocks(context: Context, leaseId: string): Promise<void> {
  await rm(blocksFolder(context, leaseId), { recursive: true, force: true })
}

/** A day: no deployment takes that long to its lease. */
const ABANDONED_MS = 24 * 3600_000

/** Takes away what deployments left that were killed before they had a lease. */
export async function sweepBlocks(context: Context, leaseIds: readonly string[]): Promise<void> {
  const root = join(context.stateFolder, 'blocks')
  // Nothing was published yet: no folder.
  const names = await readdir(root).catch(() => [])
  for (const name of names.filter((id) => !leaseIds.includes(id))) {
    const { mtimeMs } = await stat(join(root, name))
    if (Date.now() - mtimeMs > ABANDONED_MS) await removeBlocks(context, name)
  }
}

function blocksFolder({ stateFolder }: Context, leaseId: string): string {
  return join(stateFolder, 'blocks', leaseId)
}
