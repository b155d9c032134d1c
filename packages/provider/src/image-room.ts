/** Whether a pod's images fit: said when a price is asked for, before anybody pays, and again when the pod comes. Spec: spec/IMAGES.md#bytes. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { requireDiskSpace } from './disk.ts'
import type { PodRow } from './pod-row.ts'
import { quotedImageBytes } from './quoted.ts'

export interface ImageRoomOptions {
  /** Where blocks lie. */
  readonly folder: string
  /** Of all images of one pod, as fetched. */
  readonly maxImageBytes: number
  /** Free space that stays. */
  readonly diskReserveBytes: number
  /** Of images that other pods were promised and have yet to fetch. */
  readonly owedBytes: () => number
}

/** What was promised to these pods and is not there yet. */
export function bytesToCome(rows: readonly Pick<PodRow, 'quote' | 'fetchedBytes'>[]): number {
  return rows.reduce((sum, row) => sum + Math.max(0, quotedImageBytes(row) - row.fetchedBytes), 0)
}

/** @throws TrustedPodsError QUOTE_NO_CAPACITY when images of so many bytes are over the limit, or the disk has no room for them. */
export type RequireRoom = (imageBytes: bigint) => Promise<void>

export function imageRoom({ folder, maxImageBytes, diskReserveBytes, owedBytes }: ImageRoomOptions): RequireRoom {
  return async (imageBytes) => {
    if (imageBytes > BigInt(maxImageBytes))
      throw new TrustedPodsError(
        'QUOTE_NO_CAPACITY',
        `the pod's images have ${imageBytes} bytes, this provider takes at most ${maxImageBytes}`,
      )
    await requireDiskSpace(folder, diskReserveBytes + owedBytes() + Number(imageBytes))
  }
}
