/** `image publish --nerdctl`, read as nerdctl reads it: `ipfs cat` of a CID, a descriptor in it, its `urls`, and so on down. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { readFile } from '@trusted-pods/protocol/image/unixfs-read.ts'
import { CID } from 'multiformats/cid'
import { imageFolder } from '../support/image-cli.ts'
import { sha256Text } from '../support/image-fixture.ts'
import { noKubo, startKubo } from '../support/kubo-process.ts'

interface Descriptor {
  mediaType: string
  digest: string
  size: number
  urls: string[]
}

type Cat = (cid: string) => Promise<Uint8Array>

/** The first `ipfs://` of a descriptor, and the file at it; containerd compares digest and size. */
async function fetchBlob(cat: Cat, { digest, size, urls }: Descriptor): Promise<Uint8Array> {
  const url = urls.find((each) => each.startsWith('ipfs://')) ?? assert.fail(`no CID in ${digest}`)
  const bytes = await cat(url.slice('ipfs://'.length))
  assert.deepEqual([sha256Text(bytes), bytes.length], [digest, size])
  return bytes
}

/** Root descriptor, manifest, config and layers. @returns how many blobs there are. */
async function pullLikeNerdctl(cat: Cat, reference: string): Promise<number> {
  assert.match(reference, /^[a-z0-9]+$/)
  const root: Descriptor = JSON.parse(Buffer.from(await cat(reference)).toString())
  assert.equal(root.mediaType, 'application/vnd.oci.image.manifest.v1+json')
  const { config, layers } = JSON.parse(Buffer.from(await fetchBlob(cat, root)).toString())
  for (const blob of [config, ...layers]) await fetchBlob(cat, blob)
  return layers.length
}

test('every blob is found from the one CID, and the tree is a layout and opens as ever', async (t) => {
  const { folder, run } = await imageFolder(t)
  const { cid, nerdctl } = await run('publish', `oci:${folder}/plain`, '--nerdctl')
  const reference = String(nerdctl).replace('ipfs://', '')
  const blockstore = await openFileBlockstore(join(folder, 'home/.local/state/trustedpods/images/blocks'))
  const cat = (name: string) => readFile(blockstore, CID.parse(name), { maxBytes: 2 ** 24 })
  assert.equal(await pullLikeNerdctl(cat, reference), 4)
  await run('decrypt', `ipfs:${cid}`, `oci:${folder}/opened`)
  assert.equal((await run('gc')).removedBlocks, 0)
  assert.equal(await pullLikeNerdctl(cat, reference), 4)
})

test('the same from Kubo, by `ipfs cat` as nerdctl’s resolver calls it', {
  skip: noKubo,
  timeout: 120_000,
}, async (t) => {
  const [{ folder, run }, kubo] = [await imageFolder(t), await startKubo(t)]
  const { nerdctl } = await run('publish', `oci:${folder}/plain`, '--plain', '--nerdctl', '--ipfs-api', kubo.url)
  const cat = (name: string) => kubo.ipfsBytes('cat', `/ipfs/${name}`)
  assert.equal(await pullLikeNerdctl(cat, String(nerdctl).replace('ipfs://', '')), 4)
})
