/** Secrets in files of mode 0600: written whole or not at all, and refused when others can read them. */
import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, rename, stat, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { hasCode } from './error-code.ts'

/** The file's bytes, or those of `make`, stored first; two processes at once end with one and the same. */
export async function loadOrCreateSecret(
  path: string,
  make: () => Uint8Array | Promise<Uint8Array>,
): Promise<Uint8Array> {
  const held = await loadSecret(path)
  if (held) return held
  const temporary = await writeTemporary(path, await make())
  try {
    await link(temporary, path)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  } finally {
    await unlink(temporary)
  }
  const stored = await loadSecret(path)
  if (!stored) throw new TrustedPodsError('PLATFORM_STATE', `${path} vanished while it was made`)
  return stored
}

/** undefined: no such file. @throws TrustedPodsError PLATFORM_STATE when group or others may read it. */
export async function loadSecret(path: string): Promise<Uint8Array | undefined> {
  try {
    const { mode } = await stat(path)
    if ((mode & 0o077) !== 0) {
      throw new TrustedPodsError(
        'PLATFORM_STATE',
        `${path} has mode ${(mode & 0o777).toString(8)}, 600 is wanted: chmod 600 it`,
      )
    }
    return await readFile(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Replaces the file, durably: readers see the old content or the new. */
export async function storeSecret(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = await writeTemporary(path, bytes)
  await rename(temporary, path)
  const folder = await open(dirname(path))
  await folder.sync()
  await folder.close()
}

async function writeTemporary(path: string, bytes: Uint8Array): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.${randomUUID()}`
  const file = await open(temporary, 'wx', 0o600)
  await file.writeFile(bytes)
  await file.sync()
  await file.close()
  return temporary
}
