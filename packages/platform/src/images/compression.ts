/** How bytes are compressed, told by their first four, and what undoes it. Pure. */
import type { Compression } from '@trusted-pods/protocol/image/media-types.ts'
import { nodeStreamCrypto } from '../stream-crypto.ts'

/** RFC 1952 §2.3.1; RFC 8878 §3.1.1 and §3.1.2: a zstd stream may begin with a skippable frame. */
export function compressionOf(magic: Uint8Array): Compression {
  const hex = Buffer.from(magic.subarray(0, 4)).toString('hex')
  if (hex.startsWith('1f8b')) return 'gzip'
  return hex === '28b52ffd' || /^5.2a4d18$/.test(hex) ? 'zstd' : 'none'
}

export function unpacked(bytes: AsyncIterable<Uint8Array>, compression: Compression): AsyncIterable<Uint8Array> {
  switch (compression) {
    case 'none':
      return bytes
    case 'gzip':
      return nodeStreamCrypto.gunzip(bytes)
    case 'zstd':
      return nodeStreamCrypto.unzstd(bytes)
  }
}
