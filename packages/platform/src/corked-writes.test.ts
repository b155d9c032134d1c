import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode } from './libp2p-node.ts'

/** A length prefix of Noise has 2 bytes, its tag 16. */
const ALONE_BYTES = 16

test('no part of an encrypted message goes to the socket alone', async (t) => {
  const listener = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: ['/ip4/127.0.0.1/tcp/0'] })
  const dialler = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  t.after(() => Promise.all([listener.stop(), dialler.stop()]))
  const received = Promise.withResolvers<void>()
  let bytes = 0
  await listener.handle('/test/1.0.0', (stream) => {
    stream.addEventListener('message', ({ data }) => {
      bytes += data.byteLength
      if (bytes === 1_000_000) received.resolve()
    })
  })
  const stream = await dialler.dialProtocol(listener.getMultiaddrs(), '/test/1.0.0')
  const written: number[] = []
  const write = Socket.prototype._write
  t.mock.method(
    Socket.prototype,
    '_write',
    function (this: Socket, chunk: Uint8Array, ...rest: [BufferEncoding, () => void]) {
      written.push(chunk.length)
      return write.call(this, chunk, ...rest)
    },
  )
  stream.send(new Uint8Array(1_000_000))
  await received.promise
  assert.deepEqual(
    written.filter((length) => length <= ALONE_BYTES),
    [],
  )
})
