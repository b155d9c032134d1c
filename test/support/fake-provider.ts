/**
 * A provider that speaks the protocol over real connections with real keys and a real (simulated) attester, and runs nothing:
 * a test says where it deviates. For the publisher's refusals, which an honest provider cannot provoke.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { type Policy, parsePolicy } from '@trusted-pods/protocol/attestation/policy.ts'
import { SIMULATION_MEASUREMENT } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { reportData, sessionId } from '@trusted-pods/protocol/attestation/statement.ts'
import { sha256 } from '@trusted-pods/protocol/bytes.ts'
import { fromAddress } from '@trusted-pods/protocol/chain/address.ts'
import {
  type AttestRequest,
  AttestRequestSchema,
  AttestResponseSchema,
  type Evidence,
  EvidenceSchema,
  StatementSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import {
  type CapacityRequest,
  CapacityRequestSchema,
  CapacityResponseSchema,
  type Quote,
  QuoteSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import {
  type FundRequest,
  FundRequestSchema,
  FundResponseSchema,
  LogMessageSchema,
  LogsRequestSchema,
  StatusRequestSchema,
  StopRequestSchema,
  StopResponseSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { PaymentTermsSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import {
  PriceKind,
  type PricingTable,
  PricingTableSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import {
  PodPhase,
  type ProvisionRequest,
  ProvisionRequestSchema,
  StatusUpdateSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import {
  type Refusal,
  Action as RefusalAction,
  RefusalSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/refusal_pb.ts'
import { ratePerHour } from '@trusted-pods/protocol/pricing/price.ts'
import { type OpenedQuote, signQuote } from '@trusted-pods/protocol/pricing/quote.ts'
import { ATTEST, CAPACITY, FUND, LOGS, PROVISION, STATUS, STOP } from '@trusted-pods/protocol/wire/protocols.ts'
import { generateHpkeKey, unsealPod } from '@trusted-pods/protocol/wire/seal.ts'
import { type Caller, serve } from '@trusted-pods/protocol/wire/serve.ts'
import { openSimulatedAttester } from '@trusted-pods/provider/attester/simulated.ts'
import type { ProviderOffer } from '@trusted-pods/publisher/offer.ts'
import type { Address, LocalAccount } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { memoryLog } from './memory-log.ts'

type Update = MessageInitShape<typeof StatusUpdateSchema>

/** What a test may replace; without it the provider is honest. */
export interface Deviations {
  evidence?: (honest: Evidence, request: AttestRequest) => Evidence | Promise<Evidence>
  attestRefusal?: Refusal
  quote?: (honest: OpenedQuote) => Quote
  quoteSigner?: LocalAccount
  provision?: (request: ProvisionRequest, pod: Uint8Array, caller: Caller) => AsyncIterable<Update>
  status?: (podId: Uint8Array, caller: Caller) => AsyncIterable<Update>
  logs?: (caller: Caller) => AsyncIterable<MessageInitShape<typeof LogMessageSchema>>
  stop?: (podId: Uint8Array) => Promise<MessageInitShape<typeof StopResponseSchema>>
  /** Without it no top-up is sent. */
  fund?: (request: FundRequest) => Promise<MessageInitShape<typeof FundResponseSchema>>
}

export interface FakeProvider extends AsyncDisposable {
  readonly node: Libp2p
  readonly offer: ProviderOffer
  /** Accepts its evidence. */
  readonly policy: Policy
  readonly meter: LocalAccount
  readonly deviate: Deviations
  /** Provision requests that came, and the pods in them. */
  readonly provisions: { request: ProvisionRequest; pod: Uint8Array }[]
}

export interface FakeProviderOptions {
  readonly chainId?: number
  readonly escrow?: Address
  readonly registry?: Address
  readonly token?: Address
  /** Who is paid. */
  readonly account?: Address
}

const anyAddress = () => privateKeyToAccount(generatePrivateKey()).address

export async function startFakeProvider(options: FakeProviderOptions = {}): Promise<FakeProvider> {
  const { chainId = 31_337, escrow = anyAddress(), token = anyAddress(), account = anyAddress() } = options
  const folder = await mkdtemp(join(tmpdir(), 'tp-fake-provider-'))
  const attester = await openSimulatedAttester({ stateDir: folder })
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: ['/ip4/127.0.0.1/tcp/0'] })
  const keyPair = await generateHpkeKey()
  const meter = privateKeyToAccount(generatePrivateKey())
  const pricing = priceTable(chainId, token)
  const deviate: Deviations = {}
  const provisions: FakeProvider['provisions'] = []
  const sessions = new Map<string, Uint8Array>()
  const log = memoryLog()
  const peerId = node.peerId.toMultihash().bytes

  const makeQuote = async ({ resources, httpHosts, imageBytes }: CapacityRequest, caller: Caller) => {
    const now = Date.now()
    const payment = create(PaymentTermsSchema, {
      chainId: BigInt(chainId),
      escrow: fromAddress(escrow),
      provider: fromAddress(account),
      meter: fromAddress(meter.address),
      ratePerHour: ratePerHour(pricing, resources).toString(),
      minUnlockDelaySeconds: 3600,
      minDeposit: '1000',
    })
    const honest = create(QuoteSchema, {
      id: crypto.getRandomValues(new Uint8Array(16)),
      publisherPeerId: caller.connection.remotePeer.toMultihash().bytes,
      providerPeerId: peerId,
      resources,
      httpHosts,
      imageBytes,
      issuedAtMs: BigInt(now),
      expiresAtMs: BigInt(now + 60_000),
    })
    const opened = Object.assign(honest, { pricing, payment })
    const quote = deviate.quote?.(opened) ?? opened
    return signQuote(quote, { account: deviate.quoteSigner ?? meter })
  }

  const makeEvidence = async (request: AttestRequest, caller: Caller): Promise<Evidence> => {
    const none = new Uint8Array()
    const statement = create(StatementSchema, {
      nonce: request.nonce,
      publisherPeerId: caller.connection.remotePeer.toMultihash().bytes,
      providerPeerId: peerId,
      hpkePublicKey: keyPair.publicKey,
      meterAddress: fromAddress(meter.address),
      evidenceType: 'snp',
      capacityDigest: await sha256(none),
      claimsDigest: await sha256(none),
    })
    const data = await reportData(statement)
    const evidence = create(EvidenceSchema, { statement, ...(await attester.quote(data)) })
    sessions.set(caller.connection.id, await sessionId(data))
    return (await deviate.evidence?.(evidence, request)) ?? evidence
  }

  const statuses = (phase: PodPhase) =>
    async function* (podId: Uint8Array): AsyncIterable<Update> {
      yield { sequence: 1n, phase, podId }
    }

  const refuse = (value: Refusal) => ({ result: { case: 'refusal' as const, value } })
  const refuseStatus = (refusal: Refusal) => ({ sequence: 1n, phase: PodPhase.FAILED, refusal })

  await serve(
    node,
    ATTEST,
    {
      request: AttestRequestSchema,
      response: AttestResponseSchema,
      refuse,
      answer: async (request, caller) => {
        if (deviate.attestRefusal) return refuse(deviate.attestRefusal)
        return { result: { case: 'evidence' as const, value: await makeEvidence(request, caller) } }
      },
    },
    { log },
  )
  await serve(
    node,
    CAPACITY,
    {
      request: CapacityRequestSchema,
      response: CapacityResponseSchema,
      refuse,
      answer: async (request, caller) => ({
        result: { case: 'offer' as const, value: { free: [], quote: await makeQuote(request, caller) } },
      }),
    },
    { log },
  )
  await serve(
    node,
    PROVISION,
    {
      request: ProvisionRequestSchema,
      response: StatusUpdateSchema,
      refuse: refuseStatus,
      async *answer(request, caller) {
        const session = sessions.get(caller.connection.id) ?? new Uint8Array(32)
        const sealed = { encapsulatedKey: request.encapsulatedKey, sealed: request.sealedPod }
        const pod = await unsealPod(sealed, { keyPair, session })
        provisions.push({ request, pod })
        const podId = request.channel?.terms?.podId ?? new Uint8Array()
        yield* deviate.provision?.(request, pod, caller) ?? statuses(PodPhase.RUNNING)(podId)
      },
    },
    { log },
  )
  await serve(
    node,
    STATUS,
    {
      request: StatusRequestSchema,
      response: StatusUpdateSchema,
      refuse: refuseStatus,
      async *answer({ podId }, caller) {
        yield* deviate.status?.(podId, caller) ?? statuses(PodPhase.RUNNING)(podId)
      },
    },
    { log },
  )
  await serve(
    node,
    LOGS,
    {
      request: LogsRequestSchema,
      response: LogMessageSchema,
      refuse,
      async *answer(_, caller) {
        if (deviate.logs) yield* deviate.logs(caller)
      },
    },
    { log },
  )
  await serve(
    node,
    STOP,
    {
      request: StopRequestSchema,
      response: StopResponseSchema,
      refuse,
      answer: async ({ podId }) =>
        (await deviate.stop?.(podId)) ?? { result: { case: 'settlement' as const, value: {} } },
    },
    { log },
  )

  await serve(
    node,
    FUND,
    {
      request: FundRequestSchema,
      response: FundResponseSchema,
      refuse,
      answer: async (request) => (await deviate.fund?.(request)) ?? refuse(noRelay()),
    },
    { log },
  )

  return {
    node,
    offer: {
      account,
      peerId: node.peerId.toString(),
      multiaddrs: node.getMultiaddrs().map(String),
      region: 'DE/test',
      sandbox: 'runc',
      pricing: [pricing],
      capacity: [],
      attestations: [
        {
          $typeName: 'trustedpods.v0.AttestationHint',
          evidenceType: 'snp',
          simulated: true,
          platformId: new Uint8Array(),
        },
      ],
      expiresAt: new Date(Date.now() + 3_600_000),
    },
    policy: simulatedPolicy(attester.rootFingerprint),
    meter,
    deviate,
    provisions,
    async [Symbol.asyncDispose]() {
      await node.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function noRelay(): Refusal {
  const message = 'no deposits are sent for others'
  return create(RefusalSchema, { code: 'CHANNEL_RELAY_REFUSED', message, action: RefusalAction.FIX_INPUT })
}

/** 45,000 base units per vCPU-hour, memory free. */
function priceTable(chainId: number, token: Address): PricingTable {
  return create(PricingTableSchema, {
    chainId: BigInt(chainId),
    token: fromAddress(token),
    decimals: 6,
    symbol: 'tUSDC',
    prices: [
      { resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n },
      { resource: 'memory', kind: PriceKind.RESERVE, amount: '0', perQuantity: 1n, perSeconds: 3600n },
    ],
  })
}

/** Takes evidence under that development root, and the one measurement of every simulation. */
function simulatedPolicy(rootFingerprint: string): Policy {
  return parsePolicy({
    version: 1,
    require: 'warning',
    allow: ['trust.simulated'],
    evidence: ['snp'],
    simulatedRoots: [rootFingerprint],
    freshness: { nonceSeconds: 60, verdictMinutes: 60, revocation: 'required' },
    platform: { pinning: 'none' },
    measurements: [{ name: 'simulated', snp: { launch: [SIMULATION_MEASUREMENT], hostData: ['00'.repeat(32)] } }],
    snp: {
      products: {},
      endorsement: ['vcek'],
      policy: { debug: false, migrationAgent: false, smt: true, cxl: false, singleSocket: 'any', vmpl: [0] },
      platformInfo: { aliasCheckComplete: true, ciphertextHidingDram: 'any' },
      idKeyDigests: 'any',
    },
    tdx: {
      tcb: {
        swHardeningNeeded: 'contraindicated',
        configurationNeeded: 'contraindicated',
        relaunchAdvised: 'contraindicated',
        outOfDateGraceDays: 0,
      },
      advisories: { allow: [], deny: [] },
      minTcbEvaluationDataNumber: 0,
      collateralGraceHours: 0,
      attributes: { debug: false, septVeDisable: true, migratable: false, perfmon: 'contraindicated' },
      xfam: { mask: '0000000000000003', value: '0000000000000003' },
      serviceTd: 'forbid',
    },
  })
}
