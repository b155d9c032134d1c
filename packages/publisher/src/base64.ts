/** Bytes as base64 in files that people hand around. Pure. */

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

export function toBase64(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text)
}

/** Whether there is nothing in it but base64's characters. */
export function isBase64(text: string): boolean {
  return BASE64.test(text)
}

/** @throws what atob throws where the length is none of base64's. */
export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}
