/** The two images that the demo deploys, made here of the machine's busybox, so that no registry is needed. I/O: reads busybox. */
import { readFile } from 'node:fs/promises'
import type { FileEntry } from '@trusted-pods/platform/engine/file-tar.ts'
import { buildScratchImage } from '@trusted-pods/platform/engine/scratch-image.ts'
import { hybridArchive } from '@trusted-pods/platform/hybrid-archive.ts'

/** Names under which the demo's publisher has its images. */
export const HELLO_IMAGES = ['trusted-pods/hello-web:1', 'trusted-pods/hello-sidecar:1'] as const

export type HelloImage = (typeof HELLO_IMAGES)[number]

/** Programs that busybox is, by the name that it is called by; Debian's busybox-static has them all. */
const APPLETS = [
  'awk',
  'basename',
  'cat',
  'chmod',
  'cp',
  'cut',
  'date',
  'df',
  'dirname',
  'echo',
  'env',
  'expr',
  'false',
  'find',
  'free',
  'grep',
  'head',
  'hostname',
  'httpd',
  'id',
  'kill',
  'ln',
  'ls',
  'mkdir',
  'mount',
  'mv',
  'nc',
  'nslookup',
  'printf',
  'ps',
  'pwd',
  'rm',
  'sed',
  'sh',
  'sha256sum',
  'sleep',
  'sort',
  'stat',
  'tail',
  'tee',
  'test',
  'touch',
  'tr',
  'true',
  'uname',
  'vi',
  'wc',
  'wget',
  'which',
  'xargs',
  'yes',
]

const USERS = 'root:x:0:0:root:/root:/bin/sh\nhello:x:1000:1000:hello:/home/hello:/bin/sh\n'
const PAGE =
  '<!doctype html><title>hello</title><p>This page is of the image; the manifest puts its own in its place.\n'
const SIDECAR =
  '#!/bin/sh\n# What the side-car does when its manifest says nothing else.\nwhile :; do date -u; sleep 1; done\n'

/** The image as an archive for the engine's load API.
 * @param busybox path of a statically linked busybox: /bin/busybox of Debian's busybox-static. */
export async function helloImage(
  name: HelloImage,
  { busybox }: { readonly busybox: string },
): Promise<AsyncIterable<Uint8Array>> {
  const base = baseLayer(await readFile(busybox))
  const { layer, config } = name === 'trusted-pods/hello-web:1' ? webPart() : sidecarPart()
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
  const image = await buildScratchImage({
    layers: [base, layer],
    config: { Env: ['PATH=/bin'], WorkingDir: '/', ...config },
    architecture,
  })
  return hybridArchive(image, { repoTag: name })
}

/** Both images have this layer, byte for byte. */
function baseLayer(busybox: Uint8Array): FileEntry[] {
  const folder = (path: string, mode = 0o755): FileEntry => ({ kind: 'folder', path, mode })
  const file = (path: string, text: string): FileEntry => ({ kind: 'file', path, content: bytesOf(text) })
  return [
    folder('bin'),
    { kind: 'file', path: 'bin/busybox', mode: 0o755, content: busybox },
    ...APPLETS.map((applet): FileEntry => ({ kind: 'link', path: `bin/${applet}`, target: 'busybox' })),
    folder('etc'),
    file('etc/passwd', USERS),
    file('etc/group', 'root:x:0:\nhello:x:1000:\n'),
    folder('home'),
    { kind: 'folder', path: 'home/hello', uid: 1000 },
    folder('root', 0o700),
    folder('run'),
    folder('tmp', 0o1777),
  ]
}

/** Runs as a plain user: its secret is readable by that one only. */
function webPart(): { layer: FileEntry[]; config: object } {
  const layer: FileEntry[] = [
    { kind: 'folder', path: 'www' },
    { kind: 'file', path: 'www/index.html', content: bytesOf(PAGE) },
  ]
  const config = { User: 'hello', Cmd: ['httpd', '-f', '-p', '8080', '-h', '/www'], ExposedPorts: { '8080/tcp': {} } }
  return { layer, config }
}

function sidecarPart(): { layer: FileEntry[]; config: object } {
  const layer: FileEntry[] = [{ kind: 'file', path: 'bin/sidecar', mode: 0o755, content: bytesOf(SIDECAR) }]
  return { layer, config: { Cmd: ['sidecar'] } }
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
