/** `image export` and `image import`: CAR files between stores, with Kubo as the judge. */
import assert from 'node:assert/strict'
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CarWriter } from '@ipld/car'
import { filesBelow } from '@trusted-pods/platform/block-files.ts'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { type ImageFolder, imageFolder } from '../support/image-cli.ts'
import { collect } from '../support/image-fixture.ts'
import { noKubo, startKubo } from '../support/kubo-process.ts'

const blocksOf = ({ folder }: ImageFolder) => filesBelow(join(folder, 'home/.local/state/trustedpods/images/blocks'))

test('what one store exports another imports, under the same CID, and opens with the key', async (t) => {
  const [here, there] = [await imageFolder(t), await imageFolder(t, ['gzip'])]
  const car = join(here.folder, 'image.car')
  const { cid, keyFile } = await here.run('publish', `oci:${here.folder}/plain`)
  await here.run('export', `ipfs:${cid}`, car)
  assert.equal((await there.run('import', car)).cid, cid)
  await there.run('decrypt', `ipfs:${cid}`, `oci:${there.folder}/opened`, '--key', String(keyFile))
  assert.equal((await there.run('gc')).removedBlocks, 0)

  const taken = await here.tryRun('export', `ipfs:${cid}`, car)
  assert.deepEqual([taken.code, /--force replaces it/.test(taken.stderr)], [2, true])
  await here.run('export', `ipfs:${cid}`, car, '--force')
})

test('what is cut, bent, or no image leaves neither a block nor a file', async (t) => {
  const [here, there] = [await imageFolder(t), await imageFolder(t, ['gzip'])]
  const { cid } = await here.run('publish', `oci:${here.folder}/plain`)
  const car = join(here.folder, 'image.car')
  await here.run('export', `ipfs:${cid}`, car)
  const whole = await readFile(car)
  const refuse = async (bytes: Uint8Array, message: RegExp) => {
    await writeFile(car, bytes)
    const { code, stderr } = await there.tryRun('import', car)
    assert.equal(code, 3, stderr)
    assert.match(stderr, message)
    assert.deepEqual(await blocksOf(there), [])
  }
  const bent = Buffer.from(whole)
  bent[bent.length - 5] = (bent[bent.length - 5] ?? 0) ^ 1
  await refuse(bent, /has another hash/)
  await refuse(whole.subarray(0, whole.length - 100_000), /is no CAR file|not hold a whole image/)
  await refuse(Buffer.from('no CAR'), /is no CAR file/)
  const bytes = Buffer.from('some file')
  const root = CID.createV1(raw.code, await sha256.digest(bytes))
  const { writer, out } = CarWriter.create([root])
  const written = collect(out)
  await writer.put({ cid: root, bytes })
  await writer.close()
  await refuse(await written, /is not a directory/)
  assert.equal((await there.tryRun('import', join(here.folder, 'nothing.car'))).code, 3)

  const [block = ''] = (await blocksOf(here)).filter((path) => path.endsWith('.data'))
  await truncate(block, 1)
  const lost = await here.tryRun('export', `ipfs:${cid}`, join(here.folder, 'lost.car'))
  assert.deepEqual([lost.code, /is not whole here/.test(lost.stderr)], [3, true])
  assert.deepEqual(
    (await readdir(here.folder)).filter((name) => name === 'lost.car' || name.startsWith('.trustedpods')),
    [],
  )
})

test('Kubo imports what we export, and we import what Kubo exports', { skip: noKubo, timeout: 120_000 }, async (t) => {
  const [here, there, kubo] = [await imageFolder(t), await imageFolder(t, ['gzip']), await startKubo(t)]
  const { cid, keyFile } = await here.run('publish', `oci:${here.folder}/plain`)
  const car = join(here.folder, 'image.car')
  await here.run('export', `ipfs:${cid}`, car)
  assert.match(await kubo.ipfs('dag', 'import', car), new RegExp(`Pinned root\\s+${cid}\\s+success`))
  await writeFile(join(here.folder, 'kubo.car'), await kubo.ipfsBytes('dag', 'export', String(cid)))
  assert.equal((await there.run('import', join(here.folder, 'kubo.car'))).cid, cid)
  await there.run('decrypt', `ipfs:${cid}`, `oci:${there.folder}/opened`, '--key', String(keyFile))
})
