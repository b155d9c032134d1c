/** Opens what a command works with, as the configuration says: node, chain, policy, providers, engine. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Libp2p } from '@libp2p/interface'
import { loadOrCreateIdentity } from '@trusted-pods/platform/identity.ts'
import { openOutboxFiles } from '@trusted-pods/platform/outbox-files.ts'
import { loadWallet } from '@trusted-pods/platform/wallet-account.ts'
import { type Policy, parsePolicy } from '@trusted-pods/protocol/attestation/policy.ts'
import { type Chain, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import type { LocalAccount } from 'viem'
import { parse } from 'yaml'
import { type Config, type PolicyConfig, required } from './config.ts'
import type { Context } from './context.ts'
import { type LeaseFiles, openLeaseFiles } from './lease-store.ts'

/** Our end of the wire: dials only. Disposing stops it. */
export async function openNode(
  { stateFolder }: Context,
  { dht = false }: { dht?: boolean } = {},
): Promise<{ node: Libp2p } & AsyncDisposable> {
  const privateKey = await loadOrCreateIdentity(join(stateFolder, 'identity.key'))
  // Loaded with the first node: most commands need none.
  const { createNode } = await import('@trusted-pods/platform/libp2p-node.ts')
  const node = await createNode({ privateKey, listen: [], ...(dht && { dht: 'client' as const }) })
  return { node, [Symbol.asyncDispose]: async () => node.stop() }
}

/** The chain, to look at only. */
export function openChain(config: Config, { signal }: Context): Promise<Chain> {
  return connectChain(chainPlace(config), { signal })
}

/** Who signs for the wallet; no chain is asked. */
export async function openPayer(config: Config, { around }: Context): Promise<LocalAccount> {
  const wallet = await loadWallet(required(config, 'wallet'), around.env)
  return 'sendTransaction' in wallet ? wallet.account : wallet
}

/** The chain, with the wallet that pays. */
export async function openPayingChain(config: Config, { signal, stateFolder, around }: Context): Promise<Chain> {
  const account = await loadWallet(required(config, 'wallet'), around.env)
  const outbox = openOutboxFiles(join(stateFolder, 'outbox'))
  return connectChain(chainPlace(config), { account, outbox, signal })
}

function chainPlace(config: Config) {
  const { id, ...contracts } = required(config, 'chain')
  return { chainId: Number(id), ...contracts }
}

/** @param file takes the place of the configured policy. */
export async function loadPolicy(config: Config, file?: string): Promise<Policy> {
  const source: PolicyConfig = file === undefined ? required(config, 'policy') : { kind: 'file', path: file }
  if (source.kind === 'inline') return parsePolicy(source.value)
  const value = await readYamlFile(source.path)
  try {
    return parsePolicy(value)
  } catch (cause) {
    if (!(cause instanceof TrustedPodsError)) throw cause
    throw new TrustedPodsError(cause.code, `${source.path}: ${cause.message}`, { cause })
  }
}

async function readYamlFile(path: string): Promise<unknown> {
  try {
    return parse(await readFile(path, 'utf8'), { maxAliasCount: 0 })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TrustedPodsError('ATTEST_POLICY_INVALID', `${path} cannot be read: ${reason}`, { cause })
  }
}

export function openLeases({ stateFolder }: Context): LeaseFiles {
  return openLeaseFiles(join(stateFolder, 'leases'))
}

/** The lease that a command is about: the one named, else the only one that has not ended. */
export function findLease(leases: LeaseFiles, reference: string | undefined): Promise<Lease> {
  return reference === undefined ? leases.only() : leases.find(reference)
}

export const LEASE_ARGUMENT = 'lease id, its beginning, or name; not needed where there is only one'
