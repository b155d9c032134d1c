/** `image publish` and `image fetch`: by CID from one machine's store to another's, over libp2p and from a gateway. */
import assert from 'node:assert/strict'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { readBlock } from '@trusted-pods/protocol/image/block.ts'
import type { Descriptor } from '@trusted-pods/protocol/image/oci-documents.ts'
import { JWE_ANNOTATION } from '@trusted-pods/protocol/image/ocicrypt/layer-annotations.ts'
import { CID } from 'multiformats/cid'
import { runProgram } from '../../packages/cli/src/program.ts'
import { startHttp } from '../support/hostile-registry.ts'
import { type ImageFolder, imageFolder, layoutManifest, writeKeyPair } from '../support/image-cli.ts'
import { memoryStream } from '../support/memory-stream.ts'
import { runProgramOf, skipWithout } from '../support/programs.ts'

const noSkopeo = await skipWithout('skopeo')

const blocksOf = ({ folder }: ImageFolder) => join(folder, 'home/.local/state/trustedpods/images/blocks')

async function published(t: TestContext, ...flags: string[]) {
  const files = await imageFolder(t)
  const said = await files.run('publish', `oci:${files.folder}/plain`, ...flags)
  return { files, cid: String(said.cid), said }
}

test('publish encrypts for a new key, keeps it for the owner alone, and decrypt finds it', async (t) => {
  const { files, cid, said } = await published(t)
  const { folder, run, digest } = files
  assert.equal(said.encryptedHere, 3)
  assert.equal((await stat(String(said.keyFile))).mode & 0o777, 0o600)
  assert.equal((await run('inspect', `ipfs:${cid}`)).encrypted, 'all')
  await run('decrypt', `ipfs:${cid}`, `docker-archive:${folder}/out.tar`)
  await run('decrypt', `ipfs://${cid}`, `oci:${folder}/out`, '--key', String(said.keyFile))
  assert.notEqual((await run('inspect', `oci:${folder}/out`)).digest, digest)
})

test('publish for a recipient keeps no key; fetch writes what skopeo opens with it', { skip: noSkopeo }, async (t) => {
  const files = await imageFolder(t)
  const { folder, key, recipient, run } = files
  const { cid, keyFile } = await run('publish', `oci:${folder}/plain`, '--recipient', recipient)
  assert.equal(keyFile, undefined)
  await run('fetch', `ipfs:${cid}`, `oci:${folder}/fetched:v1`)
  const args = ['--insecure-policy', 'copy', '--quiet', '--decryption-key', key]
  await runProgramOf('skopeo', [...args, `oci:${folder}/fetched:v1`, `oci:${folder}/opened:v1`])
})

/** What `fetch` writes of a published image. */
async function layersOf({ folder, run }: ImageFolder, cid: unknown, name: string): Promise<Descriptor[]> {
  await run('fetch', `ipfs:${cid}`, `oci:${folder}/${name}`)
  return (await layoutManifest(join(folder, name))).layers
}

test('publishing again encrypts no layer again, and wraps its key anew for each recipient', async (t) => {
  const files = await imageFolder(t)
  const { folder, key, recipient, run, tryRun } = files
  const [other, stranger] = [await writeKeyPair(folder, 'other', 'ec'), await writeKeyPair(folder, 'stranger', 'ec')]
  const own = await run('publish', `oci:${folder}/plain`)
  const theirs = await run('publish', `oci:${folder}/plain`, '--recipient', recipient, '--recipient', other.recipient)
  const [first, second] = [await layersOf(files, own.cid, 'own'), await layersOf(files, theirs.cid, 'theirs')]
  assert.deepEqual(first.map(({ digest }) => digest).toSorted(), second.map(({ digest }) => digest).toSorted())
  for (const [i, { annotations }] of second.entries()) {
    assert.equal(annotations[JWE_ANNOTATION]?.split(',').length, 2)
    assert.notEqual(annotations[JWE_ANNOTATION], first[i]?.annotations[JWE_ANNOTATION])
  }
  for (const [i, path] of [key, other.key].entries())
    await run('decrypt', `ipfs:${theirs.cid}`, `oci:${folder}/opened${i}`, '--key', path)
  for (const [cid, path] of [
    [theirs.cid, stranger.key],
    [theirs.cid, String(own.keyFile)],
    [own.cid, key],
  ])
    assert.equal((await tryRun('decrypt', `ipfs:${cid}`, `oci:${folder}/no`, '--key', String(path))).code, 3)
})

test('what is encrypted already is published as it is, and twice gives one CID', async (t) => {
  const { folder, recipient, run } = await imageFolder(t)
  const { digest } = await run('encrypt', `oci:${folder}/plain`, `oci:${folder}/enc`, '--recipient', recipient)
  const first = await run('publish', `oci:${folder}/enc`)
  assert.deepEqual([first.encryptedBefore, first.encryptedHere, first.keyFile], [3, 0, undefined])
  assert.equal((await run('publish', `oci:${folder}/enc`)).cid, first.cid)
  assert.equal((await run('fetch', `ipfs:${first.cid}`, `oci-archive:${folder}/enc.tar`)).digest, digest)
})

test('--plain publishes a plain image and says so', async (t) => {
  const { folder, run, tryRun, digest } = await imageFolder(t)
  const { code, stdout, stderr } = await tryRun('publish', `oci:${folder}/plain`, '--plain')
  assert.equal(code, 0)
  assert.match(stderr, /warning: layers of this image are readable for everybody/)
  const { cid } = JSON.parse(stdout)
  assert.equal((await run('fetch', `ipfs:${cid}`, `oci:${folder}/fetched`)).digest, digest)
})

/** `image publish --serve` as it runs until Ctrl-C. @returns the addresses that it told. */
async function serve(t: TestContext, { folder }: ImageFolder): Promise<string[]> {
  const stop = new AbortController()
  const [stdout, stderr] = [memoryStream(), memoryStream()]
  const told = Promise.withResolvers<string[]>()
  const watching = {
    write(text: string) {
      stderr.write(text)
      const addresses = [...stderr.text().matchAll(/--from (\S+)/g)].map(([, address = '']) => address)
      if (stderr.text().includes('Ctrl-C')) told.resolve(addresses)
    },
  }
  const env = { HOME: join(folder, 'home'), PATH: process.env.PATH }
  const args = ['image', 'publish', `oci:${folder}/enc`, '--serve']
  const running = runProgram(args, { stdout, stderr: watching, stdin: Readable.from([]), env, signal: stop.signal })
  t.after(async () => {
    stop.abort()
    await running
  })
  // Of no effect once it has told its addresses.
  void running.then((code) => told.reject(new Error(`ended with ${code}: ${stderr.text()}`)))
  return told.promise
}

test('one machine serves, another fetches by CID; digest and blobs are the same on both', async (t) => {
  const [here, there] = [await imageFolder(t), await imageFolder(t)]
  const encrypted = await here.run(
    'encrypt',
    `oci:${here.folder}/plain`,
    `oci:${here.folder}/enc`,
    '--recipient',
    here.recipient,
  )
  const { cid } = await here.run('publish', `oci:${here.folder}/enc`)
  const addresses = await serve(t, here)
  const local = addresses.find((address) => address.startsWith('/ip4/127.0.0.1/')) ?? assert.fail(`${addresses}`)
  const lacking = await there.tryRun('fetch', `ipfs:${cid}`, `oci:${there.folder}/fetched`)
  assert.equal(lacking.code, 3)
  assert.match(lacking.stderr, /is not whole here/)
  const fetched = await there.run('fetch', `ipfs:${cid}`, `oci:${there.folder}/fetched`, '--from', local)
  assert.equal(fetched.digest, encrypted.digest)
  const blobs = [join(here.folder, 'enc/blobs/sha256'), join(there.folder, 'fetched/blobs/sha256')]
  const [ours, theirs] = await Promise.all(blobs.map((folder) => readdir(folder)))
  assert.deepEqual(ours?.toSorted(), theirs?.toSorted())
})

/** A trustless gateway over one machine's store; `change` may falsify a block. */
async function startGateway(
  files: ImageFolder,
  change: (bytes: Uint8Array, asked: number) => Uint8Array = (same) => same,
) {
  const blockstore = await openFileBlockstore(blocksOf(files))
  let asked = 0
  const server = await startHttp(async (request, response) => {
    const cid = /^\/ipfs\/([^?]+)\?format=raw$/.exec(request.url ?? '')?.[1]
    if (cid === undefined) return void response.writeHead(400).end()
    const block = await readBlock(blockstore, CID.parse(cid)).catch(() => undefined)
    if (!block) return void response.writeHead(404).end()
    response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end(change(block, asked++))
  })
  return { url: `http://${server.host}`, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

test('a gateway gives the blocks; what it falsifies is refused, and the next address goes on', async (t) => {
  const [{ files: here, cid }, there] = [await published(t), await imageFolder(t)]
  await using liar = await startGateway(here, (bytes, asked) => (asked === 3 ? bytes.subarray(1) : bytes))
  await using honest = await startGateway(here)
  const lied = await there.tryRun('fetch', `ipfs:${cid}`, `oci:${there.folder}/fetched`, '--from', liar.url)
  assert.equal(lied.code, 9)
  assert.match(lied.stderr, /has another hash/)
  assert.deepEqual((await readdir(there.folder)).includes('fetched'), false)
  await there.run('fetch', `ipfs:${cid}`, `oci:${there.folder}/fetched`, '--from', liar.url, '--from', honest.url)
  assert.ok((await readFile(join(there.folder, 'fetched/index.json'))).length > 0)
})

test('fetch takes a CID and an address, and says what it wanted', async (t) => {
  const { folder, tryRun } = await imageFolder(t, ['gzip'])
  const cid = 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi'
  for (const args of [
    ['fetch', 'nginx', `oci:${folder}/x`],
    ['fetch', `ipfs:${cid}`, 'nginx'],
    ['fetch', 'ipfs:Qmfoo', `oci:${folder}/x`],
    ['fetch', `ipfs:${cid}`, `oci:${folder}/x`, '--from', 'somewhere'],
    ['publish', 'Nginx Latest'],
  ]) {
    const { code, stderr } = await tryRun(...args)
    assert.equal(code, 2, `${args}: ${stderr}`)
  }
})

test('a key that others may read is refused, as is one of another kind', async (t) => {
  const { files, cid } = await published(t)
  const { folder, key, recipient, tryRun } = files
  await writeFile(join(folder, 'open.pem'), await readFile(key), { mode: 0o644 })
  const open = await tryRun('decrypt', `ipfs:${cid}`, `oci:${folder}/x`, '--key', join(folder, 'open.pem'))
  assert.deepEqual([open.code, /mode 644, 600 is wanted/.test(open.stderr)], [2, true])
  const wrong = await tryRun('decrypt', `ipfs:${cid}`, `oci:${folder}/x`, '--key', key)
  assert.equal(wrong.code, 3)
  assert.match(wrong.stderr, /no JWE packet opens with this key/)
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name === 'x' || name.startsWith('.trustedpods')),
    [],
  )
  const notPrivate = await tryRun('publish', `oci:${folder}/plain`, '--recipient', key)
  assert.match(notPrivate.stderr, /it is a private key; its public one/)
  const notPublic = await tryRun('decrypt', `ipfs:${cid}`, `oci:${folder}/x`, '--key', recipient)
  assert.equal(notPublic.code, 2)
})
