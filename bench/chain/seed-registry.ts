/** Ten thousand providers on a real chain: accounts of their own, real peer keys, signed records in the registry contract. */
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import { fromAddress } from '@trusted-pods/protocol/chain/address.ts'
import type { ChainConfig } from '@trusted-pods/protocol/chain/client.ts'
import { providerRegistryAbi } from '@trusted-pods/protocol/chain/gen/provider-registry.ts'
import { PriceKind } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { ProviderRecordSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/registry_pb.ts'
import { signRecord } from '@trusted-pods/protocol/registry/record.ts'
import { type Address, encodeFunctionData, type Hex, keccak256, toHex as textToHex } from 'viem'
import type { Anvil } from '../../test/support/anvil.ts'
import { type Call, sendAll } from './send-all.ts'

const REGIONS = ['DE/fsn1', 'FI/hel1', 'US/iad', 'BG/sof', 'SG/sin']
const GIB = 2n ** 30n
/** Announcements to a block and to a request. */
const BATCH = 500

/** Announces `count` providers. */
export async function seedRegistry(
  anvil: Anvil,
  config: ChainConfig & { token: Address },
  count: number,
): Promise<void> {
  for (let done = 0; done < count; done += BATCH) {
    const indexes = Array.from({ length: Math.min(BATCH, count - done) }, (_, i) => done + i)
    const calls = await Promise.all(indexes.map((index) => announcement(config, index)))
    await sendAll(anvil, calls)
  }
}

async function announcement(config: ChainConfig & { token: Address }, index: number): Promise<Call> {
  const from: Address = `0x${keccak256(textToHex(`provider ${index}`)).slice(-40)}`
  const record: Hex = `0x${toHex(await recordOf(config, { account: from, index }))}`
  const data = encodeFunctionData({ abi: providerRegistryAbi, functionName: 'announce', args: [record] })
  return { from, to: config.registry, data }
}

/** /ip4/10.0.0.1/tcp/<port>, binary. */
function tcpAddress(index: number): Uint8Array {
  const port = 1024 + (index % 60_000)
  return Uint8Array.of(4, 10, 0, 0, 1, 6, port >> 8, port & 0xff)
}

/** /dns4/pods.example/tcp/443/wss, binary. */
const WSS_ADDRESS = Uint8Array.of(0x36, 12, ...new TextEncoder().encode('pods.example'), 6, 1, 0xbb, 0xde, 3)

/** What a provider with one GPU model and two TEE kinds says: about 600 bytes. */
async function recordOf(
  { chainId, registry, token }: ChainConfig & { token: Address },
  { account, index }: { account: Address; index: number },
): Promise<Uint8Array> {
  const key = await generateKeyPair('Ed25519')
  const reserve = (resource: string, amount: number, perQuantity: bigint, selector = '') =>
    ({ resource, selector, kind: PriceKind.RESERVE, amount: `${amount}`, perQuantity, perSeconds: 3600n }) as const
  const now = Date.now()
  const record = create(ProviderRecordSchema, {
    chainId: BigInt(chainId),
    registry: fromAddress(registry),
    account: fromAddress(account),
    peerId: peerIdFromPrivateKey(key).toMultihash().bytes,
    multiaddrs: [tcpAddress(index), WSS_ADDRESS],
    region: REGIONS[index % REGIONS.length] ?? '',
    pricing: [
      {
        chainId: BigInt(chainId),
        token: fromAddress(token),
        decimals: 6,
        symbol: 'tUSDC',
        prices: [
          reserve('cpu', 30_000 + (index % 1000), 1000n),
          reserve('memory', 4000 + (index % 77), GIB),
          reserve('storage', 100, GIB),
          reserve('nvidia.com/gpu', 2_000_000, 1n, 'H100'),
          { resource: 'start', kind: PriceKind.FLAT, amount: '1000', perQuantity: 1n },
        ],
      },
    ],
    capacity: [
      { name: 'cpu', quantity: 64_000n, selector: 'EPYC-9654' },
      { name: 'memory', quantity: 256n * GIB },
      { name: 'storage', quantity: 2000n * GIB },
      { name: 'nvidia.com/gpu', quantity: 8n, selector: 'H100' },
    ],
    attestations: [{ evidenceType: index % 3 === 0 ? 'tdx' : 'snp', platformId: new Uint8Array(16).fill(index % 251) }],
    sandbox: index % 2 === 0 ? 'runsc' : 'runc',
    sequence: BigInt(now),
    expiresAtMs: BigInt(now + 30 * 24 * 3600_000),
  })
  return await signRecord(record, key)
}
