import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadOrCreateSecret, loadSecret, storeSecret } from './secret-file.ts'

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'secret-'))
  try {
    await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

test('a secret is made once, readable by its owner alone, and nothing else is left in the folder', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'deep', 'key')
    assert.deepEqual(await loadSecret(path), undefined)
    assert.deepEqual([...(await loadOrCreateSecret(path, () => new Uint8Array([1])))], [1])
    assert.deepEqual([...(await loadOrCreateSecret(path, () => new Uint8Array([2])))], [1])
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.deepEqual(await readdir(join(folder, 'deep')), ['key'])
  }))

test('of ten that make it at once all end with the same bytes', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'key')
    const made = await Promise.all(
      Array.from({ length: 10 }, (_, i) => loadOrCreateSecret(path, () => new Uint8Array([i]))),
    )
    assert.equal(new Set(made.map((bytes) => bytes[0])).size, 1)
  }))

test('a file that others may read is refused with PLATFORM_STATE', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'key')
    await storeSecret(path, new Uint8Array([1]))
    await chmod(path, 0o640)
    await assert.rejects(loadSecret(path), { code: 'PLATFORM_STATE', message: /mode 640/ })
    await assert.rejects(
      loadOrCreateSecret(path, () => new Uint8Array([2])),
      { code: 'PLATFORM_STATE' },
    )
  }))

test('storing replaces the bytes whole', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'key')
    await storeSecret(path, new Uint8Array([1, 2, 3]))
    await storeSecret(path, new Uint8Array([4]))
    assert.deepEqual([...((await loadSecret(path)) ?? [])], [4])
    assert.deepEqual(await readdir(folder), ['key'])
  }))
