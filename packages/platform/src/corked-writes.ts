/**
 * Puts what libp2p writes to a TCP socket within one turn into one system call. An encrypted message goes out in four parts otherwise
 * (length, header, ciphertext, tag), each a call of its own that wakes the other side.
 */
import { Socket } from 'node:net'
import type { ConnectionEncrypter, MessageStream } from '@libp2p/interface'

/** An encrypter whose connections below are corked. */
export function corked<C>(create: (components: C) => ConnectionEncrypter): (components: C) => ConnectionEncrypter {
  return (components) => {
    const encrypter = create(components)
    const [secureInbound, secureOutbound] = [
      encrypter.secureInbound.bind(encrypter),
      encrypter.secureOutbound.bind(encrypter),
    ]
    return Object.assign(encrypter, {
      secureInbound: ((connection, options) => secureInbound(cork(connection), options)) as typeof secureInbound,
      secureOutbound: ((connection, options) => secureOutbound(cork(connection), options)) as typeof secureOutbound,
    })
  }
}

interface Sender {
  sendData(data: unknown): unknown
}

/** As it was where there is no socket behind it. */
function cork<M extends MessageStream>(connection: M): M {
  const socket = 'socket' in connection ? connection.socket : undefined
  if (!(socket instanceof Socket) || !isSender(connection)) return connection
  const sendData = connection.sendData.bind(connection)
  return Object.assign(connection, {
    sendData(data: unknown) {
      socket.cork()
      try {
        return sendData(data)
      } finally {
        socket.uncork()
      }
    },
  })
}

function isSender(connection: object): connection is Sender {
  return 'sendData' in connection && typeof connection.sendData === 'function'
}
