/** The committed ABI and bytecode are those of the committed sources. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildContracts, findStale } from '../../scripts/build-contracts.ts'

test('the committed contract code is what the sources compile to, and a file that differs or lacks is named', async () => {
  const files = buildContracts()
  assert.deepEqual([...files.keys()], ['pod-escrow.ts', 'provider-registry.ts', 'test-token.ts'])
  assert.deepEqual(await findStale(files), [])

  const folder = await mkdtemp(join(tmpdir(), 'trusted-pods-generated-'))
  try {
    for (const [name, text] of files) await writeFile(join(folder, name), text)
    assert.deepEqual(await findStale(files, folder), [])
    await writeFile(join(folder, 'pod-escrow.ts'), `${files.get('pod-escrow.ts')} `)
    await rm(join(folder, 'test-token.ts'))
    assert.deepEqual(await findStale(files, folder), ['pod-escrow.ts', 'test-token.ts'])
  } finally {
    await rm(folder, { recursive: true })
  }
})
