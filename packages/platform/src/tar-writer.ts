/**
 * Tar archives (POSIX ustar) as a stream that is pulled: nothing runs ahead of the reader, and leaving early ends the source.
 * Names up to 100 bytes, sizes up to 8 GiB - 1: what an image archive needs. Pure.
 */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'

export interface TarFile {
  readonly name: string
  /** Bytes. */
  readonly size: number
  content(): AsyncIterable<Uint8Array>
}

const BLOCK_BYTES = 512
const MAX_NAME_BYTES = 100
/** Eleven octal digits. */
const MAX_SIZE = 8 ** 11 - 1

export async function* writeTar(files: Iterable<TarFile>): AsyncGenerator<Uint8Array> {
  for (const file of files) {
    yield header(file)
    let length = 0
    for await (const chunk of file.content()) {
      length += chunk.length
      if (length > file.size) break
      yield chunk
    }
    if (length !== file.size)
      throw new TrustedPodsError(
        'PLATFORM_STATE',
        `${file.name} does not have the ${file.size} bytes that were announced`,
      )
    if (length % BLOCK_BYTES > 0) yield new Uint8Array(BLOCK_BYTES - (length % BLOCK_BYTES))
  }
  yield new Uint8Array(2 * BLOCK_BYTES)
}

/** A file that is in memory. */
export function tarFile(name: string, bytes: Uint8Array): TarFile {
  return {
    name,
    size: bytes.length,
    async *content() {
      yield bytes
    },
  }
}

/**
 * 0x000 name [100]   0x064 mode [8]   0x06c uid [8]   0x074 gid [8]   0x07c size [12]   0x088 mtime [12]
 * 0x094 checksum [8]   0x09c type [1]   0x101 "ustar\0" "00"   POSIX.1-2017, pax, "ustar Interchange Format"
 */
function header({ name, size }: TarFile): Uint8Array {
  const nameBytes = new TextEncoder().encode(name)
  if (nameBytes.length > MAX_NAME_BYTES || size > MAX_SIZE)
    throw new TrustedPodsError('PLATFORM_STATE', `${name} of ${size} bytes does not fit a ustar header`)
  const block = Buffer.alloc(BLOCK_BYTES)
  block.set(nameBytes)
  block.write('0000644\0', 0x064)
  block.write('0000000\0', 0x06c)
  block.write('0000000\0', 0x074)
  block.write(`${octal(size, 11)}\0`, 0x07c)
  block.write(`${octal(0, 11)}\0`, 0x088)
  block.write('        ', 0x094)
  block.write('0', 0x09c)
  block.write('ustar\u000000', 0x101)
  const checksum = block.reduce((sum, byte) => sum + byte, 0)
  block.write(`${octal(checksum, 6)}\0 `, 0x094)
  return block
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}
