import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { KnownRecords } from '@trusted-pods/protocol/registry/record-cache.ts'
import { fileRecordCache } from './record-cache.ts'

const PLACE = { chainId: 1, registry: `0x${'Ab'.repeat(20)}` } as const
const KEYS = ['11', '22'].map((byte) => byte.repeat(52)) as [string, string]
const RECORDS: KnownRecords = new Map([
  [KEYS[0], { payload: Uint8Array.of(1, 2, 3), expiresAtMs: 2n ** 63n }],
  [KEYS[1], { refused: 'it names nobody: ü' }],
])

test('records come back as they were kept, in a file for the user alone, one for each registry', async () => {
  await using folder = await temporaryFolder()
  const cache = fileRecordCache(folder.path)
  assert.equal((await cache.load(PLACE)).size, 0)
  await cache.save(PLACE, RECORDS)
  const kept = await fileRecordCache(folder.path).load(PLACE)
  assert.deepEqual(kept.get(KEYS[1]), { refused: 'it names nobody: ü' })
  const verified = kept.get(KEYS[0])
  assert.ok(verified && 'payload' in verified)
  assert.deepEqual(verified, { payload: Uint8Array.of(1, 2, 3), expiresAtMs: 2n ** 63n })
  assert.equal(kept.size, 2)
  assert.equal((await cache.load({ ...PLACE, chainId: 2 })).size, 0)
  const [file = ''] = await readdir(folder.path)
  assert.equal((await stat(join(folder.path, file))).mode & 0o777, 0o600)
})

test('a file that was cut or changed anywhere is as good as none', async () => {
  await using folder = await temporaryFolder()
  const cache = fileRecordCache(folder.path)
  await cache.save(PLACE, RECORDS)
  const [file = ''] = await readdir(folder.path)
  const path = join(folder.path, file)
  const whole = await readFile(path)
  for (let length = 0; length < whole.length; length++) {
    await writeFile(path, whole.subarray(0, length))
    assert.equal((await cache.load(PLACE)).size, 0)
  }
  for (let at = 0; at < whole.length; at++) {
    const changed = Buffer.from(whole)
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at)
    await writeFile(path, changed)
    assert.equal((await cache.load(PLACE)).size, 0)
  }
})

async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), 'trusted-pods-records-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}
