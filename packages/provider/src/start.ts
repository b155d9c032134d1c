/** Puts a provider together and starts it: keys, chain, engine, attester, journal, node, services, rounds. */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Libp2p } from '@libp2p/interface'
import { openEngine } from '@trusted-pods/platform/engine/open-engine.ts'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { loadWalletKey } from '@trusted-pods/platform/wallet-key.ts'
import { fromAddress, toAddress } from '@trusted-pods/protocol/chain/address.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import type { OwnPayment } from '@trusted-pods/protocol/channel/check-channel.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { PriceKind, type PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { parsePriceList } from '@trusted-pods/protocol/pricing/price-list.ts'
import { keepAnnouncing } from './announce.ts'
import type { Attester } from './attester/attester.ts'
import { openAttester } from './attester/open-attester.ts'
import { awaitChain } from './await-chain.ts'
import { linuxBootClock } from './boot-clock.ts'
import { Capacity } from './capacity.ts'
import { Changes } from './changes.ts'
import { Charger } from './charger.ts'
import type { ProviderConfig } from './config.ts'
import { requireDiskSpace } from './disk.ts'
import { startFront } from './gateway/front.ts'
import { ImageIntake } from './image-intake.ts'
import { Journal } from './journal.ts'
import { loadProviderKeys, type ProviderKeys } from './keys.ts'
import { Meter } from './meter.ts'
import { ownerOf } from './owner.ts'
import { PodKeeper } from './pod-keeper.ts'
import { LIVE_PHASES } from './pod-row.ts'
import type { QuoteParts } from './quote.ts'
import { startRounds } from './rounds.ts'
import { openDockerRuntime } from './runtime/docker-runtime.ts'
import { serveAll } from './services.ts'
import { SessionTable } from './session.ts'
import { lockState } from './state-lock.ts'

export interface Provider extends AsyncDisposable {
  readonly node: Libp2p
  /** "ip:port" of the HTTP front. */
  readonly frontAddress: string
  readonly attester: Attester & { readonly rootFingerprint?: string }
}

export async function startProvider(
  config: ProviderConfig,
  { log, signal }: { log: Logger; signal: AbortSignal },
): Promise<Provider> {
  const { stateDir, terms } = config
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  await using stack = new AsyncDisposableStack()
  stack.use(lockState(stateDir))
  const keys = await loadProviderKeys(stateDir)
  const attester = stack.use(await openAttester(config.attester, { stateDir, log, urls: config.endorsements }))
  const chain = await awaitChain(config.chain, {
    account: await loadWalletKey(config.walletKeyFile),
    pollingIntervalMs: 250,
    log,
    signal,
  })
  const pricing = await loadPrices(config)
  const journal = stack.use(new Journal(join(stateDir, 'journal.sqlite')))
  // Pods outlive a restart of the provider; an engine of ours ends only when none is left in it.
  const engine = await openEngine({ socket: config.engineSocket, stateDir: join(stateDir, 'engine'), log })
  stack.defer(async () => {
    if (journal.pods(LIVE_PHASES).length === 0) await engine[Symbol.asyncDispose]()
  })
  const node = await createNode({
    privateKey: keys.identity,
    listen: [...config.listen],
    announce: [...config.announce],
    start: false,
  })
  stack.defer(() => node.stop())
  const runtime = stack.use(await openDockerRuntime(engine, { owner: ownerOf(node.peerId), log }))
  const { sandbox, engine: engineName, version } = await runtime.describe()
  const front = await startFront({ host: config.http.host, port: config.http.port, log })
  stack.defer(() => front.close())
  const frontAddress = `${front.address.host}:${front.address.port}`

  const changes = new Changes()
  const sessions = new SessionTable()
  const capacity = new Capacity(config.capacity, journal)
  const own = ownPayment({ chain, keys, config, pricing })
  const meter = new Meter({ journal, clock: linuxBootClock(), account: keys.meter })
  const charger = new Charger({
    journal,
    meter,
    chain,
    changes,
    log,
    claimAtLeast: terms.claimAtLeast,
    fundsGraceMs: terms.fundsGraceSeconds * 1000,
  })
  const limits = { encryptedBytes: terms.maxImageBytes, unpackedBytes: terms.maxUnpackedBytes }
  const intake = new ImageIntake({ folder: join(stateDir, 'blocks'), runtime, limits })
  const keeper = new PodKeeper({
    journal,
    runtime,
    intake,
    front,
    meter,
    charger,
    changes,
    log,
    publisherGraceMs: terms.publisherGraceSeconds * 1000,
  })
  stack.defer(() => keeper.close())
  await keeper.recover()
  stack.use(
    startRounds(
      { journal, runtime, keeper, charger, log },
      { tickMs: terms.receiptSeconds * 1000, reviewMs: terms.reviewSeconds * 1000 },
    ),
  )

  const status = { journal, runtime, changes, frontAddress }
  const quote = quoteParts({ capacity, pricing, own, keys, node, config })
  const claims = new TextEncoder().encode(JSON.stringify({ engine: engineName, version, sandbox }))
  const attest = {
    attester,
    sessions,
    quote,
    hpkePublicKey: keys.hpke.publicKey,
    meterAddress: fromAddress(keys.meter.address),
    peerId: node.peerId,
    claims,
  }
  const { peerId } = node
  const { ports } = config
  const provision = {
    sessions,
    keyPair: keys.hpke,
    journal,
    keeper,
    capacity,
    chain,
    own,
    peerId,
    status,
    ports,
    requireDiskSpace: () => requireDiskSpace(stateDir, terms.diskReserveBytes),
  }
  await serveAll(node, { attest, quote, provision, lease: { keeper, status } }, { log })
  // Whoever reaches us finds every protocol there.
  await node.start()
  stack.use(
    await keepAnnouncing({
      node,
      identity: keys.identity,
      chain,
      pricing,
      capacity: capacity.total,
      attester,
      region: config.region,
      sandbox,
      log,
    }),
  )
  const owned = stack.move()
  return { node, frontAddress, attester, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** @throws TrustedPodsError QUOTE_PRICES_INVALID, for prices of what is not metered here too. */
async function loadPrices({ pricesFile, chain }: ProviderConfig): Promise<PricingTable> {
  const { chainId, token } = chain
  const table = parsePriceList(await readFile(pricesFile, 'utf8'), {
    file: pricesFile,
    chainId,
    ...(token && { token }),
  })
  const unmetered = table.prices.find(({ kind }) => kind === PriceKind.USAGE)
  if (!unmetered) return table
  throw new TrustedPodsError(
    'QUOTE_PRICES_INVALID',
    `${pricesFile}: ${unmetered.resource} is not metered yet and cannot be priced`,
  )
}

interface Assembled {
  readonly keys: ProviderKeys
  readonly config: ProviderConfig
  readonly pricing: PricingTable
}

function ownPayment({ chain, keys, config, pricing }: Assembled & { chain: Chain }): OwnPayment {
  if (!chain.wallet) throw new TypeError('a chain without a wallet')
  return {
    chainId: chain.chainId,
    escrow: chain.escrow,
    provider: chain.wallet.account.address,
    meter: keys.meter.address,
    tokens: [toAddress(pricing.token)],
    minUnlockDelaySeconds: config.terms.minUnlockDelaySeconds,
  }
}

function quoteParts({
  capacity,
  pricing,
  own,
  keys,
  node,
  config,
}: Assembled & { capacity: Capacity; own: OwnPayment; node: Libp2p }): QuoteParts {
  return {
    capacity,
    pricing,
    own,
    account: keys.meter,
    peerId: node.peerId,
    quoteMs: config.terms.quoteSeconds * 1000,
    minRuntimeMinutes: config.terms.minRuntimeMinutes,
    hosts: config.http.hosts,
  }
}
