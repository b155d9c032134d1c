/**
 * Memory that a virtual machine has from its host already, for what is measured. Such a machine may give free pages back within a
 * second, and gets each anew at its first touch, at several times the cost of a copy: whoever writes a GB then measures the host.
 * What is given back are whole free blocks of 2 MiB; so every other MiB is held, and those in between stay.
 */
import { mkdir, open, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'

const MIB = 2 ** 20

/** So many bytes are free and warm until they are released. */
export async function warmMemory(folder: string, bytes: number): Promise<{ release(): Promise<void> }> {
  await mkdir(folder, { recursive: true })
  const [held, free] = [join(folder, 'held'), join(folder, 'free')]
  {
    await using heldFile = await open(held, 'w')
    await using freeFile = await open(free, 'w')
    const page = Buffer.alloc(MIB)
    for (let filled = 0; filled < bytes; filled += MIB) {
      await freeFile.write(page)
      await heldFile.write(page)
    }
  }
  await unlink(free)
  return { release: () => rm(folder, { recursive: true }) }
}
