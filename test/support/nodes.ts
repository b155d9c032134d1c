/** Two real libp2p nodes on 127.0.0.1 with a live connection between them. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Libp2p, PrivateKey } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'

export interface NodePair extends AsyncDisposable {
  readonly provider: Libp2p
  /** The provider's identity. */
  readonly key: PrivateKey
  readonly publisher: Libp2p
  /** From publisher to provider. */
  readonly connection: Connection
}

export async function startNodePair(): Promise<NodePair> {
  const key = await generateKeyPair('Ed25519')
  const provider = await createNode({ privateKey: key, listen: ['/ip4/127.0.0.1/tcp/0'] })
  const publisher = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  const connection = await publisher.dial(provider.getMultiaddrs())
  return {
    provider,
    key,
    publisher,
    connection,
    async [Symbol.asyncDispose]() {
      await publisher.stop()
      await provider.stop()
    },
  }
}
