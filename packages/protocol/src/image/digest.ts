/** OCI digests: sha256:<hex>, the only algorithm that we take. Spec: spec/IMAGES.md#layers. Pure. */
import { equalBytes, fromHex, toHex } from '../bytes.ts'

const PREFIX = 'sha256:'

export function toDigestText(sha256: Uint8Array): string {
  return PREFIX + toHex(sha256)
}

/** The 32 bytes of a digest in its one canonical spelling; undefined for anything else. */
export function fromDigestText(text: unknown): Uint8Array | undefined {
  if (typeof text !== 'string' || !/^sha256:[0-9a-f]{64}$/.test(text)) return undefined
  return fromHex(text.slice(PREFIX.length))
}

export function isDigestText(text: unknown): text is string {
  return fromDigestText(text) !== undefined
}

/** Whether the digest text says exactly these 32 bytes. */
export function isDigestOf(text: string, sha256: Uint8Array): boolean {
  const wanted = fromDigestText(text)
  return wanted !== undefined && equalBytes(wanted, sha256)
}
