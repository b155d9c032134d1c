/** Puts a provider together and starts it: keys, chain, engine, attester, journal, node, services, rounds. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Libp2p } from '@libp2p/interface'
import { createDialGuard } from '@trusted-pods/platform/dial-guard.ts'
import { openEngine } from '@trusted-pods/platform/engine/open-engine.ts'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { openOutboxFiles } from '@trusted-pods/platform/outbox-files.ts'
import { loadLocalWallet } from '@trusted-pods/platform/wallet-account.ts'
import { fromAddress, toAddress } from '@trusted-pods/protocol/chain/address.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import type { OwnPayment } from '@trusted-pods/protocol/channel/check-channel.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { parseGwei } from 'viem'
import { keepAnnouncing } from './announce.ts'
import type { Attester } from './attester/attester.ts'
import { openAttester } from './attester/open-attester.ts'
import { linuxBootClock } from './boot-clock.ts'
import { Capacity } from './capacity.ts'
import { type OpenLink, openChainLink } from './chain-link.ts'
import { Changes } from './changes.ts'
import { Charger } from './charger.ts'
import { Claimer } from './claimer.ts'
import type { ProviderConfig } from './config.ts'
import { requireDeviceNodes } from './device-nodes.ts'
import { keepProviding, serveRecord } from './dht-listing.ts'
import { startFront } from './gateway/front.ts'
import { ImageIntake } from './image-intake.ts'
import { bytesToCome, imageRoom } from './image-room.ts'
import { createImageSources } from './image-sources.ts'
import { Journal } from './journal.ts'
import { loadProviderKeys } from './keys.ts'
import { listOnceConnected } from './list-once-connected.ts'
import { type Listing, openListing } from './listing.ts'
import { Meter } from './meter.ts'
import { ownerOf } from './owner.ts'
import { PodKeeper } from './pod-keeper.ts'
import { LIVE_PHASES, type PodRow, STARTING_PHASES } from './pod-row.ts'
import { loadPrices, requireMetered } from './prices.ts'
import type { RecordParts } from './provider-record.ts'
import { keepReleasing, Relay } from './relay.ts'
import { RelayLedger } from './relay-ledger.ts'
import { startRounds } from './rounds.ts'
import { openDockerRuntime } from './runtime/docker-runtime.ts'
import { type ServiceParts, serveAll } from './services.ts'
import { SessionTable } from './session.ts'
import { Settler } from './settler.ts'
import { lockState } from './state-lock.ts'
import { TrafficMeter } from './traffic-meter.ts'

/** How often an awaited transaction is asked for: a publisher waits for the settlement. */
const CHAIN_POLL_MS = 250

export interface Provider extends AsyncDisposable {
  readonly node: Libp2p
  /** "ip:port" of the HTTP front. */
  readonly frontAddress: string
  readonly attester: Attester & { readonly rootFingerprint?: string }
}

export async function startProvider(config: ProviderConfig, { log, signal }: StartOptions): Promise<Provider> {
  await mkdir(config.stateDir, { recursive: true, mode: 0o700 })
  await using stack = new AsyncDisposableStack()
  stack.use(lockState(config.stateDir))
  const base = await openBase(config, { log, signal, stack })
  const machine = await openMachine(config, { ...base, log, stack })
  const pods = await openPods(config, { ...base, ...machine, log, stack })
  await serveAll(base.node, answers(config, { ...base, ...machine, ...pods }), { log })
  const said = { ...base, identity: base.keys.identity, capacity: pods.capacity.total, region: config.region }
  const record = { ...said, sandbox: machine.description.sandbox, listing: openListing(config.stateDir) }
  // Whoever reaches us finds every protocol there; at the end nobody reaches us any more before anything else closes.
  await base.node.start()
  stack.defer(async () => base.node.stop())
  const list = (chain: Chain) => openListings(config, { ...record, chain }, log)
  stack.use(await listOnceConnected(base.link, list, log))
  const owned = stack.move()
  const { node, attester } = base
  return { node, frontAddress: machine.frontAddress, attester, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** In the chain's registry, and in the DHT where that is configured. */
async function openListings(
  { dht }: ProviderConfig,
  record: RecordParts & { listing: Listing },
  log: Logger,
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  stack.use(await keepAnnouncing({ ...record, log }))
  if (dht) {
    await serveRecord(record, { log })
    stack.use(keepProviding({ ...record, bootstrap: dht.bootstrap, log }))
  }
  return stack.move()
}

interface StartOptions {
  readonly log: Logger
  readonly signal: AbortSignal
}

interface Owned {
  readonly log: Logger
  /** Ends in reverse order what was opened. */
  readonly stack: AsyncDisposableStack
}

/** Who we are, and the chain that we are paid on. */
async function openBase(config: ProviderConfig, { log, signal, stack }: Owned & StartOptions) {
  const { stateDir } = config
  const keys = await loadProviderKeys(stateDir)
  const attester = stack.use(await openAttester(config.attester, { stateDir, log, urls: config.endorsements }))
  const account = await loadLocalWallet(config.wallet, process.env)
  const pricing = await loadPrices(config)
  const journal = stack.use(new Journal(join(stateDir, 'journal.sqlite')))
  const outbox = openOutboxFiles(join(stateDir, 'outbox'))
  const paying = { account, outbox, pollingIntervalMs: CHAIN_POLL_MS, log, signal }
  const link = stack.use(await openChainLink(config.chain, paying, { mayWait: hasWork(journal) }))
  const relay = openRelay(config, { link, log, stack })
  const { listen, announce } = config
  const node = await createNode({
    privateKey: keys.identity,
    listen: [...listen],
    announce: [...announce],
    start: false,
    ...(config.dht && { dht: 'server' as const }),
  })
  return { keys, attester, account: account.address, link, relay, pricing, journal, node, peerId: node.peerId }
}

/** What we send for payers without gas, and how much of it. */
function openRelay({ stateDir, terms }: ProviderConfig, { link, log, stack }: Owned & { link: OpenLink }): Relay {
  const ledger = stack.use(new RelayLedger(join(stateDir, 'relayed.sqlite')))
  const { coinPrice, gasPercent, relayGweiPerDay } = terms
  const relayWeiPerDay = parseGwei(`${relayGweiPerDay}`)
  return new Relay({ link, ledger, log, gasPercent, relayWeiPerDay, ...(coinPrice !== undefined && { coinPrice }) })
}

/** Pods to look after, or money to fetch. */
function hasWork(journal: Journal): boolean {
  return journal.pods(LIVE_PHASES).length > 0 || journal.unsettled().length > 0
}

type Base = Awaited<ReturnType<typeof openBase>>

/** What pods run in and are reached through. */
async function openMachine(
  { stateDir, engineSocket, http, firewall, gpus }: ProviderConfig,
  { journal, peerId, pricing, log, stack }: Base & Owned,
) {
  await requireDeviceNodes(gpus, log)
  const engine = await openEngine({ socket: engineSocket, stateDir: join(stateDir, 'engine'), log })
  // Pods outlive a restart of the provider; an engine of ours ends only when none is left in it.
  stack.defer(async () => {
    if (journal.pods(LIVE_PHASES).length === 0) await engine[Symbol.asyncDispose]()
  })
  const runtime = stack.use(await openDockerRuntime(engine, { owner: ownerOf(peerId), log }))
  const front = await startFront({ host: http.host, port: http.port, log })
  stack.defer(() => front.close())
  const frontAddress = `${front.address.host}:${front.address.port}`
  const description = await runtime.describe()
  if (description.firewall === 'none' && firewall === 'required') throw unprotected()
  requireMetered(pricing, description)
  return { runtime, front, frontAddress, description }
}

function unprotected(): TrustedPodsError {
  return new TrustedPodsError(
    'PLATFORM_CONFIG',
    'there is no nft: pods would reach this machine and its network. Install nftables, or set firewall: none',
  )
}

type Machine = Awaited<ReturnType<typeof openMachine>>

/** Pods, their money, and the rounds that keep both as they should be. */
async function openPods(
  config: ProviderConfig,
  { journal, link, relay, keys, node, runtime, front, log, stack }: Base & Machine & Owned,
) {
  const { terms, images } = config
  const { gateways, allowPrivateSources: allowPrivate } = images
  const changes = new Changes()
  const meter = new Meter({ journal, clock: linuxBootClock(), account: keys.meter })
  const policy = {
    ...terms,
    fundsGraceMs: terms.fundsGraceSeconds * 1000,
    keepDataMs: terms.keepDataSeconds * 1000,
    reorgPatienceMs: terms.reorgPatienceSeconds * 1000,
  }
  const charger = new Charger({ journal, meter, link, changes, log, ...policy })
  const claimer = new Claimer({ journal, meter, log, ...policy })
  const isRelayed = (podId: string) => relay.hasOpened(`0x${podId}`)
  const settler = new Settler({ journal, meter, link, log, isRelayed, ...policy })
  const traffic = new TrafficMeter({ journal, runtime, meter, log })
  const limits = { encryptedBytes: terms.maxImageBytes, unpackedBytes: terms.maxUnpackedBytes }
  const intake = new ImageIntake({
    folder: join(config.stateDir, 'blocks'),
    coldBytes: terms.coldImageBytes,
    reserveBytes: terms.diskReserveBytes,
    runtime,
    limits,
    sources: createImageSources({ node, guard: createDialGuard({ allowPrivate }), gateways }),
    log,
  })
  const publisherGraceMs = terms.publisherGraceSeconds * 1000
  const money = { meter, charger, settler, traffic }
  const keeper = new PodKeeper({ journal, runtime, intake, front, ...money, changes, log, publisherGraceMs })
  stack.defer(() => keeper.close())
  await keeper.recover()
  const pace = { tickMs: terms.receiptSeconds * 1000, reviewMs: terms.reviewSeconds * 1000 }
  const startLimitMs = terms.startLimitMinutes * 60_000
  stack.use(startRounds({ journal, runtime, keeper, ...money, claimer, link, log, startLimitMs }, pace))
  stack.use(keepReleasing(relay, (podId) => journal.pod(podId) !== undefined))
  return { changes, charger, keeper, capacity: new Capacity(config.capacity, journal, config.gpus) }
}

type Pods = Awaited<ReturnType<typeof openPods>>

/** What each protocol answers with. */
function answers(config: ProviderConfig, parts: Base & Machine & Pods): ServiceParts {
  const {
    keys,
    attester,
    link,
    relay,
    journal,
    peerId,
    runtime,
    frontAddress,
    description,
    changes,
    keeper,
    capacity,
    pricing,
  } = parts
  const sessions = new SessionTable()
  const own = ownPayment(config, parts)
  const { quoteSeconds, minRuntimeMinutes } = config.terms
  const owedBytes = () => bytesToCome(journal.pods(STARTING_PHASES))
  const requireRoom = imageRoom({ folder: config.stateDir, ...config.terms, owedBytes })
  const offering = { quoteMs: quoteSeconds * 1000, minRuntimeMinutes, hosts: config.http.hosts, requireRoom }
  const quote = { link, relay, capacity, pricing, own, account: keys.meter, peerId, ...offering }
  const claims = new TextEncoder().encode(
    JSON.stringify(description, (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
  )
  const status = { journal, runtime, changes, frontAddress, funds: (row: PodRow) => parts.charger.funds(row) }
  const ours = { hpkePublicKey: keys.hpke.publicKey, meterAddress: fromAddress(keys.meter.address), peerId, claims }
  const room = { ports: config.ports, requireRoom }
  return {
    attest: { attester, sessions, quote, ...ours },
    quote,
    provision: { sessions, keyPair: keys.hpke, journal, keeper, capacity, link, relay, own, peerId, status, ...room },
    lease: { keeper, charger: parts.charger, relay, status },
  }
}

function ownPayment({ terms, chain }: ProviderConfig, { account, keys, pricing }: Base): OwnPayment {
  return {
    chainId: chain.chainId,
    escrow: chain.escrow,
    provider: account,
    meter: keys.meter.address,
    tokens: [toAddress(pricing.token)],
    minUnlockDelaySeconds: terms.minUnlockDelaySeconds,
  }
}
