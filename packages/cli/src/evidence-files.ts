/** Evidence files on disk. Form: docs/cli.md#evidence-files. */
import { readFile, stat, writeFile } from 'node:fs/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { ReceivedEvidence } from '@trusted-pods/publisher/attest.ts'
import { formatEvidenceFile, parseEvidenceFile } from '@trusted-pods/publisher/evidence-file.ts'

/** Well above what the wire takes, in base64. */
const MAX_FILE_BYTES = 4 * 1024 * 1024

/** @throws TrustedPodsError PLATFORM_CONFIG where it cannot be written. */
export async function writeEvidenceFile(path: string, received: ReceivedEvidence): Promise<void> {
  try {
    await writeFile(path, formatEvidenceFile(received))
  } catch (cause) {
    throw new TrustedPodsError('PLATFORM_CONFIG', `${path} cannot be written`, { cause })
  }
}

/** @throws TrustedPodsError PLATFORM_CONFIG where it cannot be read, ATTEST_EVIDENCE_MALFORMED where it is of another form. */
export async function readEvidenceFile(path: string): Promise<ReceivedEvidence> {
  return parseEvidenceFile(await readText(path))
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > MAX_FILE_BYTES) throw tooLong(path, size)
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof TrustedPodsError) throw cause
    throw new TrustedPodsError('PLATFORM_CONFIG', `${path} cannot be read`, { cause })
  }
}

function tooLong(path: string, size: number): TrustedPodsError {
  const message = `${path} has ${size} bytes, at most ${MAX_FILE_BYTES} are read`
  return new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', message)
}
