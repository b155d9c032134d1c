/**
 * Disks of a fixed size: a sparse file with an ext4 file system on a loop device, which is found again by its file. Needs
 * root, loop devices, losetup of util-linux, mkfs.ext4 and debugfs of e2fsprogs. I/O.
 */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { access, link, mkdtemp, open, rename, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { failed } from './engine-client.ts'
import { findProgram } from './find-program.ts'
import { listMountPoints } from './mount-table.ts'

/** 1 MiB: ext4 has room for files from there on. */
const LEAST_BYTES = 1n << 20n

/** Whole blocks of the largest size that ext4 takes here. */
const BLOCK_BYTES = 4096n

/** 60 s: mkfs writes some MiB, whatever the size; a machine's disk may be slow. */
const TIMEOUT_MS = 60_000

/** Whether this machine can have them, by making, mounting and removing one; a reason when not. */
export async function loopDiskObstacle(): Promise<string | undefined> {
  const programs = ['losetup', 'mkfs.ext4', 'debugfs', 'unshare', 'mount']
  const found = await Promise.all(programs.map(findProgram))
  const missing = programs.filter((_, i) => found[i] === undefined)
  if (missing.length > 0) return `not on this machine: ${missing.join(', ')}`
  const folder = await mkdtemp(join(tmpdir(), 'tp-disk-'))
  const file = join(folder, 'disk')
  try {
    await makeDisk(file, LEAST_BYTES)
    await attachDisk(file, join(folder, 'device'))
    await tryMount(join(folder, 'device'), folder)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.slice(0, 500) : String(error)
  } finally {
    // Where there are no loop devices there is none to let go of.
    await detachDisk(file).catch(() => {})
    await rm(folder, { recursive: true, force: true })
  }
}

/** Makes the disk unless it is there, whole or not at all; of several that make it at once one does.
 * @param sizeBytes rounded up to 4096, at least 1 MiB.
 * @throws TrustedPodsError PLATFORM_ENGINE_FAILED when there is one of another size, or the tools fail. */
export async function makeDisk(file: string, sizeBytes: bigint): Promise<void> {
  const blocks = (sizeBytes + BLOCK_BYTES - 1n) / BLOCK_BYTES
  const wanted = blocks * BLOCK_BYTES < LEAST_BYTES ? LEAST_BYTES : blocks * BLOCK_BYTES
  const seen = await sizeOf(file)
  if (seen === wanted) return
  if (seen !== undefined) throw failed(`the disk ${file} has ${seen} bytes, ${wanted} were wanted`)
  const unfinished = `${file}.${randomUUID()}`
  try {
    await writeDisk(unfinished, wanted)
    await link(unfinished, file)
  } catch (error) {
    const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST'
    if (!isThere) throw error
  } finally {
    await rm(unfinished, { force: true })
  }
}

async function writeDisk(file: string, sizeBytes: bigint): Promise<void> {
  await using handle = await open(file, 'wx', 0o600)
  await handle.truncate(Number(sizeBytes))
  await run('mkfs.ext4', ['-q', '-F', '-m', '0', '-E', 'nodiscard', file])
  // Engines copy what an image has at the mount path into an empty volume only, and databases want an empty folder.
  await run('debugfs', ['-w', '-R', 'rmdir lost+found', file])
}

/** Puts the disk on a loop device unless it is on one, and a link to the device at `place`: its number changes. */
export async function attachDisk(file: string, place: string): Promise<void> {
  const [held] = await devicesOf(file)
  const device = held ?? (await run('losetup', ['--find', '--show', file])).trim()
  const newLink = `${place}.${randomUUID()}`
  await symlink(device, newLink)
  await rename(newLink, place)
}

/** Takes the disk off its loop device; off one that is mounted when that ends. Nothing happens when it is on none. */
export async function detachDisk(file: string): Promise<void> {
  const isThere = await access(file).then(
    () => true,
    () => false,
  )
  if (isThere) for (const device of await devicesOf(file)) await run('losetup', ['--detach', device])
}

/** Takes every disk below a folder off its loop device. */
export async function detachDisksBelow(folder: string): Promise<void> {
  if (!(await findProgram('losetup'))) return
  const rows = (await run('losetup', ['--list', '--noheadings', '--raw', '--output', 'NAME,BACK-FILE'])).split('\n')
  for (const row of rows) {
    const [device, file] = row.split(/ (.*)/)
    if (device && file?.startsWith(`${folder}/`)) await run('losetup', ['--detach', device])
  }
}

/** In a mount namespace that ends with the command; a root that is no mount point has no propagation to change. */
async function tryMount(device: string, folder: string): Promise<void> {
  const propagation = (await listMountPoints()).includes('/') ? 'private' : 'unchanged'
  const script = 'mount -t ext4 -o nosuid,nodev "$0" "$1" && umount "$1"'
  await run('unshare', ['--mount', '--propagation', propagation, 'sh', '-c', script, device, folder])
}

async function devicesOf(file: string): Promise<string[]> {
  const said = await run('losetup', ['--associated', file, '--noheadings', '--output', 'NAME'])
  return said.split(/\s+/).filter((name) => name !== '')
}

async function sizeOf(file: string): Promise<bigint | undefined> {
  return stat(file, { bigint: true }).then(
    ({ size }) => size,
    () => undefined,
  )
}

/** @returns its standard output. @throws TrustedPodsError PLATFORM_ENGINE_FAILED with the program's words. */
async function run(name: string, args: string[]): Promise<string> {
  const program = (await findProgram(name)) ?? name
  try {
    return (await promisify(execFile)(program, args, { timeout: TIMEOUT_MS })).stdout
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error)
    throw failed(`${name} failed: ${said.trim().replaceAll(/\s+/g, ' ').slice(0, 300)}`, error)
  }
}
