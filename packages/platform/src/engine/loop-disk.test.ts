import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readlink, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { attachDisk, detachDisk, detachDisksBelow, loopDiskObstacle, makeDisk } from './loop-disk.ts'

const skip = (await loopDiskObstacle()) ?? false
const folder = await mkdtemp(join(tmpdir(), 'tp-disks-'))
after(async () => {
  await detachDisksBelow(folder)
  await rm(folder, { recursive: true, force: true })
})

test('a disk has its size and is made once, by one of several at a time', { skip }, async () => {
  const file = join(folder, 'one')
  await Promise.all([makeDisk(file, (3n << 20n) - 1n), makeDisk(file, (3n << 20n) - 1n)])
  assert.deepEqual(await readdir(folder), ['one'])
  const { size, blocks, ino } = await stat(file)
  assert.equal(size, 3 << 20)
  assert.ok(blocks * 512 < size, 'only what is used takes room')
  await makeDisk(file, 3n << 20n)
  assert.equal((await stat(file)).ino, ino)
  await makeDisk(join(folder, 'least'), 1n)
  assert.equal((await stat(join(folder, 'least'))).size, 1 << 20)
  await assert.rejects(
    makeDisk(file, 4n << 20n),
    (error) => error instanceof TrustedPodsError && /3145728 bytes, 4194304 were wanted/.test(error.message),
  )
})

test('a disk is on one device, at a link that follows it, until it is taken off', { skip }, async () => {
  const [file, link] = [join(folder, 'two'), join(folder, 'two.device')]
  await makeDisk(file, 2n << 20n)
  await attachDisk(file, link)
  const device = await readlink(link)
  await attachDisk(file, link)
  assert.equal(await readlink(link), device)
  const { stdout } = await promisify(execFile)('blkid', ['-p', '-o', 'value', '-s', 'TYPE', link])
  assert.equal(stdout.trim(), 'ext4')
  await attachDisk(join(folder, 'one'), join(folder, 'one.device'))
  await detachDisk(file)
  await detachDisk(file)
  await detachDisk(join(folder, 'none'))
  const held = async () => (await promisify(execFile)('losetup', ['--list', '--output', 'BACK-FILE'])).stdout
  assert.ok(!(await held()).includes(file))
  assert.ok((await held()).includes(join(folder, 'one')))
  await detachDisksBelow(folder)
  assert.ok(!(await held()).includes(folder))
})

test('a file that cannot be put on a device is the tool’s own reason', { skip }, async () => {
  await assert.rejects(
    attachDisk(join(folder, 'none'), join(folder, 'none.device')),
    (error) =>
      error instanceof TrustedPodsError && error.code === 'PLATFORM_ENGINE_FAILED' && /losetup/.test(error.message),
  )
})
