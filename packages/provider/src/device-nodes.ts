/** What the nodes of the configuration's GPUs are on this machine: a name may be a link, a folder, or no device. I/O. */
import { stat } from 'node:fs/promises'
import { hasCode } from '@trusted-pods/platform/error-code.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Device } from './devices.ts'

/**
 * A node that is missing is only told: its driver may come up later.
 * @throws TrustedPodsError PLATFORM_CONFIG when one is there and no character device, or when two GPUs would share one: an engine
 * follows links, and of a folder it gives everything below.
 */
export async function requireDeviceNodes(devices: readonly Device[], log: Logger): Promise<void> {
  const owners = new Map<number, string>()
  const seen = await Promise.all(devices.map((device) => numbersOf(device, log)))
  for (const [i, { own }] of seen.entries()) {
    const id = devices[i]?.id ?? ''
    for (const number of own) {
      const other = owners.get(number)
      if (other !== undefined && other !== id) throw refused(`${id} is the same device as ${other}`)
      owners.set(number, id)
    }
  }
  for (const [i, { control }] of seen.entries()) {
    const shared = control.find((number) => owners.has(number))
    if (shared !== undefined)
      throw refused(`${devices[i]?.id} has a control node that is the device ${owners.get(shared)}`)
  }
}

async function numbersOf({ id, access }: Device, log: Logger): Promise<{ own: number[]; control: number[] }> {
  if (access.kind !== 'nodes') return { own: [], control: [] }
  const numbers = async (paths: readonly string[]) =>
    (await Promise.all(paths.map((path) => numberOf(path, { id, log })))).filter((number) => number !== undefined)
  return { own: await numbers(access.paths), control: await numbers(access.control) }
}

/** The kernel's number of the device; undefined: it is not there. */
async function numberOf(path: string, { id, log }: { id: string; log: Logger }): Promise<number | undefined> {
  try {
    const found = await stat(path)
    if (found.isCharacterDevice()) return found.rdev
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    log.warn('a GPU is offered whose node is missing', { gpu: id, path })
    return undefined
  }
  throw refused(`${id} has ${path}, which is no character device`)
}

function refused(reason: string): TrustedPodsError {
  return new TrustedPodsError('PLATFORM_CONFIG', `gpus: ${reason}`)
}
