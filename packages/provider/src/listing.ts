/**
 * Whether the provider wants to be found, and what it last said of itself: files in the state folder, so that `register` and
 * `unregister` hold for a provider that runs, and for its next start.
 */
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from '@trusted-pods/platform/error-code.ts'

export interface Listing {
  /** False after `unregister`, until `register`. */
  isWanted(): Promise<boolean>
  setWanted(wanted: boolean): Promise<void>
  /** The signed record that was announced or served last; undefined: none yet. */
  lastRecord(): Promise<Uint8Array | undefined>
  keepRecord(record: Uint8Array): Promise<void>
}

export function openListing(stateDir: string): Listing {
  const marker = join(stateDir, 'unregistered')
  const record = join(stateDir, 'provider.record')
  return {
    isWanted: async () => !(await exists(marker)),
    setWanted: async (wanted) => {
      await mkdir(stateDir, { recursive: true, mode: 0o700 })
      if (wanted) await rm(marker, { force: true })
      else await writeFile(marker, 'Written by tpodserver unregister, removed by tpodserver register.\n')
    },
    lastRecord: () => readIfThere(record),
    keepRecord: (bytes) => writeWhole(record, bytes),
  }
}

/** `register` and `unregister` run beside the provider: a file that is gone between two calls is one that is not there. */
async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Nobody reads half a record. */
async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const fresh = `${path}.${process.pid}`
  await writeFile(fresh, bytes)
  await rename(fresh, path)
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}
