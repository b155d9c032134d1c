/** Free space: a disk that is full stops the journal, and with it every tenant. */
import { statfs } from 'node:fs/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'

/** @throws TrustedPodsError QUOTE_NO_CAPACITY when less than `reserveBytes` is free where `folder` lies. */
export async function requireDiskSpace(folder: string, reserveBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const freeBytes = bavail * bsize
  if (freeBytes >= reserveBytes) return
  throw new TrustedPodsError(
    'QUOTE_NO_CAPACITY',
    `the disk has ${freeBytes} bytes free, ${reserveBytes} are kept in reserve`,
  )
}
