/** The thread behind background-sha256.ts: hashes slots of shared memory in the order in which they are named. */
import { createHash, type Hash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'

export type DigestRequest =
  | { readonly kind: 'open'; readonly id: number; readonly memory: readonly Uint8Array[] }
  | { readonly kind: 'update'; readonly id: number; readonly slot: number; readonly length: number }
  | { readonly kind: 'end'; readonly id: number }
  | { readonly kind: 'close'; readonly id: number }

export type DigestReply =
  | { readonly kind: 'released'; readonly id: number; readonly slot: number }
  | { readonly kind: 'digest'; readonly id: number; readonly digest: Uint8Array }

interface OpenDigest {
  readonly hash: Hash
  readonly memory: readonly Uint8Array[]
}

const digests = new Map<number, OpenDigest>()

function answer(request: DigestRequest): DigestReply | undefined {
  const { id } = request
  const digest = digests.get(id)
  switch (request.kind) {
    case 'open':
      digests.set(id, { hash: createHash('sha256'), memory: request.memory })
      return undefined
    case 'update': {
      const { slot, length } = request
      digest?.hash.update(digest.memory[slot]?.subarray(0, length) ?? new Uint8Array())
      return { kind: 'released', id, slot }
    }
    case 'end':
      return digest && { kind: 'digest', id, digest: digest.hash.digest() }
    case 'close':
      digests.delete(id)
      return undefined
  }
}

parentPort?.on('message', (request: DigestRequest) => {
  const reply = answer(request)
  if (reply) parentPort?.postMessage(reply)
})
