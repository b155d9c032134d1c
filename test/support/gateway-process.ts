/** A trustless gateway over TLS on 127.0.0.1, with a certificate of its own, over a blockstore. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { readBlock } from '@trusted-pods/protocol/image/block.ts'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'

export interface TestGateway extends AsyncDisposable {
  readonly port: number
  /** The certificate, PEM: valid for 127.0.0.1 and gateway.test. */
  readonly ca: string
  /** TCP connections that were made to it. */
  connections: number
  /** CIDs that were asked for. */
  readonly asked: string[]
}

export interface GatewayOptions {
  /** In place of the block's bytes. */
  readonly answer?: (request: IncomingMessage, response: ServerResponse, block: Uint8Array) => void
}

export async function startGateway(blockstore: Blockstore, { answer }: GatewayOptions = {}): Promise<TestGateway> {
  const { key, cert } = await selfSigned()
  const asked: string[] = []
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const text = /^\/ipfs\/([^?]+)\?format=raw$/.exec(request.url ?? '')?.[1]
    if (text === undefined) return void response.writeHead(400).end()
    asked.push(text)
    const cid = CID.parse(text)
    if (!(await blockstore.has(cid))) return void response.writeHead(404).end()
    const block = await readBlock(blockstore, cid)
    if (answer) return answer(request, response, block)
    response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end(block)
  }
  const server = createServer({ key, cert }, (request, response) => void serve(request, response))
  const gateway = { port: 0, ca: cert, asked, connections: 0 }
  server.on('connection', () => gateway.connections++)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  gateway.port = (server.address() as AddressInfo).port
  return Object.assign(gateway, {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}

async function selfSigned(): Promise<{ key: string; cert: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-gateway-'))
  try {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const names = 'subjectAltName=IP:127.0.0.1,DNS:gateway.test'
    const args = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=gateway.test',
    ]
    await promisify(execFile)('openssl', ['req', '-x509', ...args, '-addext', names, '-keyout', key, '-out', cert])
    return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') }
  } finally {
    await rm(folder, { recursive: true })
  }
}
