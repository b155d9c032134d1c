/** The example that the end-to-end tests deploy. */
import { readFile } from 'node:fs/promises'
import type { Manifest } from '@trusted-pods/protocol/manifest/manifest.ts'
import { parseManifest } from '@trusted-pods/protocol/manifest/parse.ts'

const FOLDER = new URL('../../examples/hello/', import.meta.url)

export async function readHelloManifest(change: (text: string) => string = (text) => text): Promise<Manifest> {
  return parseManifest(change(await readFile(new URL('trustedpods.yml', FOLDER), 'utf8')), { file: 'trustedpods.yml' })
}

export function readHelloSecret(): Promise<Uint8Array> {
  return readFile(new URL('secret.txt', FOLDER))
}
