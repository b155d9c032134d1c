/** `trustedpods providers` over a real registry. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { loadOrCreateIdentity } from '@trusted-pods/platform/identity.ts'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { fromAddress } from '@trusted-pods/protocol/chain/address.ts'
import { requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { announce } from '@trusted-pods/protocol/chain/registry.ts'
import { PriceKind } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { ProviderRecordSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/registry_pb.ts'
import { signRecord } from '@trusted-pods/protocol/registry/record.ts'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { memoryStream } from '../../../../test/support/memory-stream.ts'
import { runProgram } from '../program.ts'

const GIB = 2n ** 30n
const MANIFEST = 'type: trustedpods\nversion: "1.0"\ncontainers:\n  - {image: a, resources: {cpu: 1, memory: 1Gi}}\n'
let dev: DevChain
let home: string

before(async () => {
  dev = await startDevChain()
  home = await mkdtemp(join(tmpdir(), 'tp-providers-'))
  await announceAs(0, { region: 'DE/fsn1', sandbox: 'runsc', attestations: [{ evidenceType: 'snp' }] }, 40_000)
  await announceAs(1, { region: 'DE/nbg1', sandbox: 'runc', attestations: [{ evidenceType: 'tdx' }] }, 30_000)
  const gpu = [{ name: 'nvidia.com/gpu', quantity: 1n, selector: 'H100' }]
  await announceAs(2, { region: 'FI', capacity: gpu, attestations: [{ evidenceType: 'snp', simulated: true }] }, 20_000)
  await announce(await dev.connect(3), new TextEncoder().encode('no record'))
  const { escrow, registry, token, rpc, chainId } = dev.config
  const chain = `chain: {id: ${chainId}, rpc: ['${rpc[0]}'], escrow: '${escrow}', registry: '${registry}', token: '${token}'}`
  const policy = `policy: ${join(import.meta.dirname, '../../../../examples/policy-strict.yml')}`
  await mkdir(join(home, '.config/trustedpods'), { recursive: true })
  await writeFile(join(home, '.config/trustedpods/config.yaml'), `${chain}\n${policy}\n`)
  await writeFile(join(home, 'pod.yml'), MANIFEST)
})
after(async () => {
  await rm(home, { recursive: true })
  await dev[Symbol.asyncDispose]()
})

const FILTERS: readonly [args: string[], regions: string[]][] = [
  [[], ['DE/fsn1', 'DE/nbg1', 'FI']],
  [
    ['--region', 'DE'],
    ['DE/fsn1', 'DE/nbg1'],
  ],
  [['--region', 'DE', '--tee', 'tdx'], ['DE/nbg1']],
  [['--sandbox', 'runsc'], ['DE/fsn1']],
  [['--gpu'], ['FI']],
  [['--gpu', 'B200'], []],
  [['--no-simulated'], ['DE/fsn1', 'DE/nbg1']],
  [['--limit', '1'], ['DE/fsn1']],
]

for (const [args, regions] of FILTERS) {
  test(`providers ${args.join(' ') || 'without a filter'} lists ${regions.join(', ') || 'none'}; a bad row is told and breaks nothing`, async () => {
    const { code, stdout, stderr } = await run('providers', ...args, '-o', 'json')
    assert.equal(code, 0, stderr)
    assert.deepEqual(
      (JSON.parse(stdout) as { region: string }[]).map(({ region }) => region),
      regions,
    )
    assert.match(stderr, /^skipped 0x[0-9a-fA-F]{40}: the record is no signed envelope/m)
  })
}

test('with a manifest they are ranked by what it would cost, and those above the price are told why', async () => {
  const ranked = await run('providers', '--for', join(home, 'pod.yml'), '--max-price', '0.035 tUSDC', '-o', 'json')
  assert.equal(ranked.code, 0, ranked.stderr)
  const choice = JSON.parse(ranked.stdout)
  assert.deepEqual(
    choice.ranked.map((one: Record<string, string>) => [one.region, one.ratePerHour, one.costPerMonth]),
    [['DE/nbg1', '31000', `${730 * 31_000}`]],
  )
  const reasons = choice.rejected.map((one: Record<string, string>) => [one.region, one.reason])
  assert.match(reasons[0][1], /^asks for 0\.041 tUSDC per hour, 0\.035 tUSDC at most are wanted$/)
  assert.deepEqual(reasons[1], ['FI', 'offers no evidence of type snp or tdx'])
  const without = await run('providers', '--max-price', '1')
  assert.equal(without.code, 2)
  assert.match(without.stderr, /name its manifest with --for/)
})

async function run(...args: string[]) {
  const [stdout, stderr] = [memoryStream(), memoryStream()]
  const around = { stdout, stderr, stdin: Readable.from([]), env: { HOME: home }, signal: new AbortController().signal }
  const code = await runProgram(args, around)
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}

/** With cpu at this price per vCPU-hour. */
async function announceAs(
  index: number,
  said: MessageInitShape<typeof ProviderRecordSchema>,
  cpuPrice: number,
): Promise<void> {
  const chain = await dev.connect(index)
  const key = await loadOrCreateIdentity(join(home, `${index}.key`))
  const node = await createNode({ privateKey: key, listen: ['/ip4/127.0.0.1/tcp/0'] })
  const reserve = (resource: string, amount: number, perQuantity: bigint) =>
    ({ resource, kind: PriceKind.RESERVE, amount: `${amount}`, perQuantity, perSeconds: 3600n }) as const
  const token = { chainId: BigInt(chain.chainId), token: fromAddress(dev.config.token), decimals: 6, symbol: 'tUSDC' }
  const record = create(ProviderRecordSchema, {
    chainId: BigInt(chain.chainId),
    registry: fromAddress(chain.registry),
    account: fromAddress(requireWallet(chain).account.address),
    peerId: node.peerId.toMultihash().bytes,
    multiaddrs: node.getMultiaddrs().map(({ bytes }) => bytes),
    pricing: [{ ...token, prices: [reserve('cpu', cpuPrice, 1000n), reserve('memory', 1000, GIB)] }],
    sequence: 1n,
    expiresAtMs: BigInt(Date.now() + 3600_000),
    ...said,
  })
  await node.stop()
  await announce(chain, await signRecord(record, key))
}
