/** An HTTP server on loopback that answers as a test wants: a registry that lies, breaks off, redirects or dawdles. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { encodeConfig, type FixtureLayer, packLayer, sha256Text } from './image-fixture.ts'

export const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const INDEX = 'application/vnd.oci.image.index.v1+json'

export interface Seen {
  readonly method: string
  readonly path: string
  readonly authorization: string | undefined
  readonly range: string | undefined
}

export interface HostileServer extends AsyncDisposable {
  /** host:port. */
  readonly host: string
  /** Every request so far. */
  readonly seen: readonly Seen[]
}

/** @param answer is to end the response, destroy it, or leave it hanging: what hangs is cut at the end. */
export async function startHttp(
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
  address = '127.0.0.1',
): Promise<HostileServer> {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    const { authorization, range } = request.headers
    seen.push({ method: request.method ?? '', path: request.url ?? '', authorization, range })
    void answer(request, response)
  })
  server.listen(0, address)
  await once(server, 'listening')
  return {
    host: `${address}:${(server.address() as AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

export interface RegistryImage {
  readonly manifest: Buffer
  /** By digest: config and layers. */
  readonly blobs: ReadonlyMap<string, Uint8Array>
  readonly layers: readonly { digest: string; bytes: Uint8Array }[]
}

export function registryImage(layers: readonly FixtureLayer[]): RegistryImage {
  const packed = layers.map(({ tar, compression = 'none' }) => ({
    bytes: packLayer(tar, compression),
    mediaType: `application/vnd.oci.image.layer.v1.tar${compression === 'none' ? '' : `+${compression}`}`,
  }))
  const config = encodeConfig(layers.map(({ tar }) => sha256Text(tar)))
  const describe = (mediaType: string, bytes: Uint8Array) => ({
    mediaType,
    digest: sha256Text(bytes),
    size: bytes.length,
  })
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: describe('application/vnd.oci.image.config.v1+json', config),
      layers: packed.map(({ mediaType, bytes }) => describe(mediaType, bytes)),
    }),
  )
  const all = [config, ...packed.map(({ bytes }) => bytes)]
  return {
    manifest,
    blobs: new Map(all.map((bytes) => [sha256Text(bytes), bytes])),
    layers: packed.map(({ bytes }) => ({ digest: sha256Text(bytes), bytes })),
  }
}

/** An honest registry's answers, for a test to change one of them. */
export function serveImage({ manifest, blobs }: RegistryImage) {
  return ({ url = '', headers }: IncomingMessage, response: ServerResponse) => {
    const blob = blobs.get(url.split('/').at(-1) ?? '')
    if (url === '/v2/') response.end('{}')
    else if (url.includes('/manifests/')) response.writeHead(200, { 'content-type': MANIFEST }).end(manifest)
    else if (!blob) response.writeHead(404).end()
    else if (headers.range) {
      const from = Number(/^bytes=(\d+)-$/.exec(headers.range)?.[1])
      response
        .writeHead(206, { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` })
        .end(blob.subarray(from))
    } else response.writeHead(200, { 'content-length': blob.length }).end(blob)
  }
}
