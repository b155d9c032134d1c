import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { firstFile, packFiles } from './file-tar.ts'
import { buildScratchImage } from './scratch-image.ts'

test('a file comes out as it went in, past folders and links', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (content) => {
      const archive = await packFiles([
        { kind: 'folder', path: 'a' },
        { kind: 'link', path: 'a/l', target: 'f' },
        { kind: 'file', path: 'a/f', mode: 0o400, uid: 7, content },
      ])
      assert.deepEqual([...((await firstFile(archive)) ?? [])], [...content])
    }),
  )
})

test('an archive without a file has none, and one that was cut is an error or has none', async () => {
  assert.equal(await firstFile(await packFiles([{ kind: 'folder', path: 'a' }])), undefined)
  const archive = await packFiles([{ kind: 'file', path: 'f', content: Buffer.alloc(600, 1) }])
  for (let length = 0; length < 512 + 600; length += 8) {
    const seen = await firstFile(archive.subarray(0, length)).catch(() => undefined)
    assert.equal(seen, undefined, `cut at ${length}`)
  }
})

test('an image of the same files has the same digest', async () => {
  const build = (text: string) =>
    buildScratchImage({
      layers: [[{ kind: 'file', path: 'f', content: Buffer.from(text) }]],
      config: {},
      architecture: 'amd64',
    })
  assert.equal((await build('a')).digest, (await build('a')).digest)
  assert.notEqual((await build('a')).digest, (await build('b')).digest)
})
