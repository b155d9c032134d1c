/** Exported receipts on disk. Form: spec/PAYMENT.md#receipt-file. */
import { readFile, stat, writeFile } from 'node:fs/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { parseReceiptFile, type ReceiptFile } from '@trusted-pods/publisher/receipt-file.ts'

/** A quote and a receipt, each far below 100 KiB on the wire, in base64. */
const MAX_FILE_BYTES = 1024 * 1024

/** @throws TrustedPodsError PLATFORM_CONFIG where it cannot be written. */
export async function writeReceiptFile(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text)
  } catch (cause) {
    throw new TrustedPodsError('PLATFORM_CONFIG', `${path} cannot be written`, { cause })
  }
}

/** @throws TrustedPodsError PLATFORM_CONFIG where it cannot be read, CHANNEL_RECEIPT_INVALID where it is of another form. */
export async function readReceiptFile(path: string): Promise<ReceiptFile> {
  return parseReceiptFile(await readText(path))
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > MAX_FILE_BYTES)
      throw new TrustedPodsError(
        'CHANNEL_RECEIPT_INVALID',
        `${path} has ${size} bytes, at most ${MAX_FILE_BYTES} are read`,
      )
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof TrustedPodsError) throw cause
    throw new TrustedPodsError('PLATFORM_CONFIG', `${path} cannot be read`, { cause })
  }
}
