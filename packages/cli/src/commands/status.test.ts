/** `trustedpods status` against a provider that speaks the protocol, and says what the test has it say. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, afterEach, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { fromHex, toHex } from '@trusted-pods/protocol/bytes.ts'
import { signReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { VoucherRequestSchema, VoucherResponseSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { UsageSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { PodPhase } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import { counters } from '@trusted-pods/protocol/pricing/price.ts'
import { VOUCHER } from '@trusted-pods/protocol/wire/protocols.ts'
import { toRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import { serve } from '@trusted-pods/protocol/wire/serve.ts'
import type { LeaseOf } from '@trusted-pods/publisher/lease.ts'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { type Deviations, type FakeProvider, startFakeProvider } from '../../../../test/support/fake-provider.ts'
import { leaseFacts } from '../../../../test/support/lease-fixture.ts'
import { memoryLog } from '../../../../test/support/memory-log.ts'
import { memoryStream } from '../../../../test/support/memory-stream.ts'
import { openLeaseFiles } from '../lease-store.ts'
import { stateFolder } from '../paths.ts'
import { runProgram } from '../program.ts'

let dev: DevChain
let provider: FakeProvider
let home: string
let lease: LeaseOf<'running'>
before(async () => {
  dev = await startDevChain()
  provider = await startFakeProvider()
  home = await mkdtemp(join(tmpdir(), 'tp-status-'))
  const payer = dev.anvil.account(0).address
  const { account, peerId, multiaddrs } = provider.offer
  const facts = leaseFacts({ payer, provider: { account, peerId, multiaddrs }, meter: provider.meter.address })
  lease = { ...facts, kind: 'running', openTransaction: `0x${'ab'.repeat(32)}` }
  await openLeaseFiles(join(stateFolder({ HOME: home }), 'leases')).save(lease)
  await mkdir(join(home, '.config/trustedpods'), { recursive: true })
  await writeFile(join(home, 'policy.yaml'), policyText())
})
afterEach(() => {
  for (const key of Object.keys(provider.deviate)) delete provider.deviate[key as keyof Deviations]
})
after(async () => {
  await rm(home, { recursive: true })
  await provider[Symbol.asyncDispose]()
  await dev[Symbol.asyncDispose]()
})

/** As its author would have written it. */
function policyText(): string {
  return JSON.stringify(provider.policy, (_, value) =>
    typeof value === 'bigint' ? value.toString(16).padStart(16, '0') : value,
  )
}

/** With a chain and a wallet; the policy only where it is named. */
async function type(...args: string[]) {
  const { escrow, registry, token, rpc, chainId } = dev.config
  await writeFile(
    join(home, '.config/trustedpods/config.yaml'),
    `chain: {id: ${chainId}, rpc: ['${rpc[0]}'], escrow: '${escrow}', registry: '${registry}', token: '${token}'}
wallet: {keyEnv: PAYER_KEY}
`,
  )
  const key = toHex(dev.anvil.account(0).getHdKey().privateKey ?? assert.fail('no key'))
  const [stdout, stderr] = [memoryStream(), memoryStream()]
  const env = { HOME: home, PAYER_KEY: `0x${key}` }
  const signal = AbortSignal.timeout(60_000)
  const code = await runProgram(['status', ...args], { stdout, stderr, stdin: Readable.from([]), env, signal })
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}

const policy = () => ['--policy', join(home, 'policy.yaml')]
const refuseEvidence = () => {
  provider.deviate.evidence = (honest) => create(EvidenceSchema, { ...honest, certificates: [] })
}

/** A receipt over ten seconds, and a wish for a voucher; then the pod ends. */
async function wishVoucher(): Promise<bigint[]> {
  const { chainId, escrow, terms } = lease.channel
  const podId = fromHex(lease.id) ?? assert.fail('no pod id')
  const used = counters(lease.resources, lease.pricing, 10n)
  const usage = create(UsageSchema, { podId, runningSeconds: 10n, counters: used })
  const receipt = await signReceipt(usage, { chainId, escrow, terms, account: provider.meter, table: lease.pricing })
  provider.deviate.status = async function* () {
    yield { sequence: 1n, phase: PodPhase.STOPPED, podId, receipt, funds: { voucherWanted: '50' } }
  }
  const given: bigint[] = []
  const answer = async ({ cumulative }: { cumulative: string }) => {
    given.push(BigInt(cumulative))
    return {}
  }
  const schemas = { request: VoucherRequestSchema, response: VoucherResponseSchema }
  await serve(provider.node, VOUCHER, { ...schemas, refuse: (refusal) => ({ refusal }), answer }, { log: memoryLog() })
  return given
}

test('--vouchers signs what the provider asks for, once and with --follow', async () => {
  const given = await wishVoucher()
  assert.equal((await type('--vouchers')).code, 0)
  assert.deepEqual(given, [50n])
  const followed = await type('--follow', '--vouchers')
  assert.equal(followed.code, 0, followed.stderr)
  assert.deepEqual(given, [50n, 50n])
  await provider.node.unhandle(VOUCHER.id)
})

test('a refused provider ends with 5, whatever it says of the pod', async () => {
  refuseEvidence()
  provider.deviate.status = async function* (podId) {
    yield { sequence: 1n, phase: PodPhase.FAILED, podId }
  }
  const failed = await type(...policy())
  assert.equal(failed.code, 5, failed.stderr)
  provider.deviate.status = async function* () {
    yield { refusal: toRefusal(new TrustedPodsError('STATUS_UNKNOWN_POD', 'there is no such pod')) }
  }
  const unknown = await type('-o', 'json', ...policy())
  assert.equal(unknown.code, 5, unknown.stderr)
  assert.equal(JSON.parse(unknown.stdout).attestation.kind, 'refused')
  assert.match(unknown.stderr, /no status \(STATUS_UNKNOWN_POD: .*Next: trustedpods stop/s)
  delete provider.deviate.evidence
  assert.equal((await type(...policy())).code, 7)
})

test('what is to be stopped when it is refused is not followed without a policy to refuse it by', async () => {
  provider.deviate.status = async function* (podId) {
    yield { sequence: 1n, phase: PodPhase.STOPPED, podId }
  }
  const { code, stderr } = await type('--follow', '--on-refused', 'stop')
  assert.equal(code, 2, stderr)
  assert.match(stderr, /does not set policy/)
})

test('so does following one until it says that the pod has ended', async () => {
  await using refused = await startFakeProvider()
  const { account, peerId, multiaddrs } = refused.offer
  const facts = leaseFacts({ provider: { account, peerId, multiaddrs }, meter: refused.meter.address })
  await openLeaseFiles(join(stateFolder({ HOME: home }), 'leases')).save({ ...lease, ...facts })
  refused.deviate.evidence = (honest) => create(EvidenceSchema, { ...honest, certificates: [] })
  refused.deviate.status = async function* (podId) {
    yield { sequence: 1n, phase: PodPhase.STOPPED, podId }
  }
  const { code, stdout } = await type(facts.id, '--follow', ...policy())
  assert.equal(code, 5, stdout)
  assert.match(stdout, /evidence refused: /)
})
