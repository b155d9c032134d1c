/** A stream cut into blocks of one length, as files of a tree have them. Spec: spec/IMAGES.md#tree. Pure. */

/** By the profile unixfs-v1-2025 (IPIP-499). */
export const BLOCK_BYTES = 1024 * 1024

/** Blocks of BLOCK_BYTES, the last one shorter, each in memory of its own; none for no bytes. */
export async function* toBlocks(
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let block = new Uint8Array(BLOCK_BYTES)
  let length = 0
  for await (const bytes of content) {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + BLOCK_BYTES - length)
      block.set(part, length)
      length += part.length
      at += part.length
      if (length < BLOCK_BYTES) continue
      yield block
      block = new Uint8Array(BLOCK_BYTES)
      length = 0
    }
  }
  if (length > 0) yield block.slice(0, length)
}

export async function* bytesOf(blocks: AsyncIterable<{ readonly bytes: Uint8Array }>): AsyncGenerator<Uint8Array> {
  for await (const { bytes } of blocks) yield bytes
}
