/** The thread behind thread-digests.ts: digests of blocks whose memory comes and goes back. */
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto'
import { parentPort } from 'node:worker_threads'

export type DigestRequest =
  | { readonly kind: 'open'; readonly id: number; readonly key: Uint8Array; readonly each: boolean }
  | { readonly kind: 'block'; readonly id: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'finish'; readonly id: number }
  | { readonly kind: 'close'; readonly id: number }

export type DigestReply =
  | {
      readonly kind: 'block'
      readonly id: number
      readonly bytes: Uint8Array<ArrayBuffer>
      readonly sha256?: Uint8Array
    }
  | { readonly kind: 'totals'; readonly id: number; readonly sha256: Uint8Array; readonly hmac: Uint8Array }

interface OpenDigests {
  readonly digest: Hash
  readonly mac: Hmac
  readonly each: boolean
}

const opened = new Map<number, OpenDigests>()

function add({ digest, mac, each }: OpenDigests, { id, bytes }: DigestRequest & { kind: 'block' }): void {
  digest.update(bytes)
  mac.update(bytes)
  const own = each ? { sha256: createHash('sha256').update(bytes).digest() } : {}
  reply({ kind: 'block', id, bytes, ...own }, [bytes.buffer])
}

function reply(message: DigestReply, memory: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, memory)
}

parentPort?.on('message', (request: DigestRequest) => {
  const { id } = request
  const digests = opened.get(id)
  switch (request.kind) {
    case 'open': {
      const { key, each } = request
      opened.set(id, { digest: createHash('sha256'), mac: createHmac('sha256', key), each })
      // Came as a copy of its own.
      key.fill(0)
      break
    }
    case 'block':
      if (digests) add(digests, request)
      break
    case 'finish':
      if (digests) reply({ kind: 'totals', id, sha256: digests.digest.digest(), hmac: digests.mac.digest() })
      break
    case 'close':
      opened.delete(id)
      break
  }
})
