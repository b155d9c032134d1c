// The thread behind thread-digests.ts: digests of blocks whose memory comes and goes back. Plain JavaScript: for TypeScript, Node would
// load its compiler into this thread too, 8 MiB of memory. What goes to and fro has its types in thread-digests.ts.
import { createHash, createHmac } from 'node:crypto'
import { parentPort } from 'node:worker_threads'

const opened = new Map()

function add({ digest, mac }, { id, bytes, each }) {
  digest?.update(bytes)
  mac?.update(bytes)
  const own = each ? { sha256: createHash('sha256').update(bytes).digest() } : {}
  reply({ kind: 'block', id, bytes, ...own }, [bytes.buffer])
}

function reply(message, memory = []) {
  parentPort?.postMessage(message, memory)
}

parentPort?.on('message', (request) => {
  const { id } = request
  const digests = opened.get(id)
  switch (request.kind) {
    case 'open': {
      const { key } = request
      opened.set(id, key ? { digest: createHash('sha256'), mac: createHmac('sha256', key) } : {})
      // Came as a copy of its own.
      key?.fill(0)
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
