/** `trustedpods deploy`: a manifest on a provider, paid and running; or further with a lease that an earlier run left. */
import { dirname } from 'node:path'
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { CONFIG_PRIVACY, type ConfigPrivacy } from '@trusted-pods/protocol/image/public-config.ts'
import { manifestResources } from '@trusted-pods/protocol/manifest/resources.ts'
import { randomPodId } from '@trusted-pods/publisher/channel.ts'
import { chooseProvider, requireProvider } from '@trusted-pods/publisher/choose-provider.ts'
import { deployOnFirst } from '@trusted-pods/publisher/deploy-first.ts'
import type { FundingChoice } from '@trusted-pods/publisher/funding.ts'
import type { ProviderOffer } from '@trusted-pods/publisher/offer.ts'
import type { Plan } from '@trusted-pods/publisher/plan.ts'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { openBlocks, removeBlocks, sweepBlocks } from '../blocks.ts'
import { type Config, loadConfig, required } from '../config.ts'
import { askYesNo, isInteractive, requireSomebodyToAsk } from '../confirm.ts'
import { loadPolicy, openLeases, openNode, openPayingChain } from '../connections.ts'
import type { Context } from '../context.ts'
import { parseDeposit } from '../deposit.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { planJson } from '../format-plan.ts'
import { imagePublisher } from '../image-publisher.ts'
import { addIpfsOptions, type IpfsFlags } from '../ipfs-nodes.ts'
import { DEFAULT_MANIFEST, type ManifestFile, readManifest, readSecrets } from '../manifest-file.ts'
import { readProviders } from '../registry.ts'
import { parseLimits } from '../spend-limits.ts'
import { countOf, formatQuantity } from '../units.ts'
import type { Run } from './command.ts'
import { countBytes, follow, resume } from './deploy-follow.ts'
import { fundingOption } from './funding-option.ts'

export interface DeployFlags extends IpfsFlags {
  yes?: boolean
  dryRun?: boolean
  deposit?: string
  hours?: number
  maxPrice?: string
  maxDeposit?: string
  provider?: string
  policy?: string
  funding?: FundingChoice
  resume?: string
  imageConfig: ConfigPrivacy
}

export function addDeploy(program: Command, run: Run): void {
  const command = program
    .command('deploy')
    .argument('[manifest]', 'manifest to deploy', DEFAULT_MANIFEST)
    .description('run a manifest on an attested provider')
    .option('-y, --yes', 'agree to the plan beforehand')
    .option('--dry-run', 'stop after the plan: no money moves, nothing secret is sent')
    .option('--deposit <amount>', 'what to put into the channel, as 1.5 or "1.5 USDC"')
    .option('--hours <n>', 'put in what the pod can cost in this time (default: 24)', parseHours)
    .option('--max-price <amount>', 'take no quote above this per hour (with --yes: the announced price)')
    .option('--max-deposit <amount>', 'put in no more than this (with --yes: what --hours or --deposit ask for)')
    .option('--provider <id>', 'only this provider: its peer id or account')
    .option('--policy <file>', 'policy in place of the configured one')
    .addOption(fundingOption())
    .addOption(
      new Option('--image-config <how>', 'how much of the images’ configs everybody can read')
        .choices([...CONFIG_PRIVACY])
        .default('sealed'),
    )
    .option('--resume <lease>', 'go on with a lease that an earlier run left')
  addIpfsOptions(command).action((path: string, flags: DeployFlags, self: Command) =>
    run(self, (context) => start(context, path, flags)),
  )
}

/** `trustedpods plan`: the same as `deploy --dry-run`. */
export function addPlan(program: Command, run: Run): void {
  program
    .command('plan')
    .argument('[manifest]', 'manifest to plan for', DEFAULT_MANIFEST)
    .description('show what a deployment would cost and send to whom; no money moves, nothing secret is sent')
    .option('--deposit <amount>', 'what to put into the channel, as 1.5 or "1.5 USDC"')
    .option('--hours <n>', 'put in what the pod can cost in this time (default: 24)', parseHours)
    .option('--provider <id>', 'only this provider: its peer id or account')
    .option('--policy <file>', 'policy in place of the configured one')
    .addOption(fundingOption())
    .action((path: string, flags: DeployFlags, command: Command) =>
      run(command, (context) => deploy(context, path, { ...flags, dryRun: true })),
    )
}

function start(context: Context, path: string, flags: DeployFlags): Promise<ExitCode> {
  return flags.resume === undefined ? deploy(context, path, flags) : resume(context, flags.resume, flags)
}

async function deploy(context: Context, path: string, flags: DeployFlags): Promise<ExitCode> {
  const { signal } = context
  if (!flags.yes && !flags.dryRun) requireSomebodyToAsk(context)
  const file = await readAloud(context, path)
  const secrets = await readSecrets(file)
  const config = await loadConfig(context.configPath)
  const policy = await loadPolicy(config, flags.policy)
  const chain = await openPayingChain(config, context)
  const deposit = await parseDeposit(chain, flags)
  const limits = await parseLimits(chain, { ...flags, unattended: flags.yes === true || !isInteractive(context) })
  const offers = await findOffers(context, { config, chain, policy, file, flags })
  const leases = openLeases(context)
  await sweepBlocks(context, await leases.ids())
  const podId = randomPodId()
  const leaseId = podId.slice(2)
  let plan: Plan | undefined
  const confirm = (made: Plan) => {
    plan = made
    return agrees(context, flags)
  }
  try {
    await using own = await openNode(context)
    await using blocks = await openBlocks(context, leaseId, flags)
    const { blockstore } = blocks
    const images = imagePublisher(context, { config, blocks, privacy: flags.imageConfig, folder: dirname(path) })
    const sent = countBytes()
    const parts = {
      onBlockSent: sent.add,
      node: own.node,
      chain,
      policy,
      images,
      blockstore,
      secrets,
      leases,
      name: file.name,
      podId,
      limits,
      confirm,
      ...(flags.funding && { funding: flags.funding }),
      signal,
    }
    const events = deployOnFirst(file.manifest, offers, { ...parts, ...(deposit && { deposit }) })
    const outcome = await follow(context, events, { leases, sent })
    return outcome.kind === 'running' ? EXIT.OK : notDeployed(context, path, flags.dryRun ? plan : undefined)
  } finally {
    // Kept only for a lease whose provider has yet to pull them.
    const left = leases.lastSaved
    if (left?.kind !== 'opening' && left?.kind !== 'funded') await removeBlocks(context, leaseId)
  }
}

async function readAloud({ output }: Context, path: string): Promise<ManifestFile> {
  const file = await readManifest(path)
  for (const warning of file.warnings) output.progress(warning)
  const containers = countOf(file.manifest.containers.length, 'container')
  output.step('manifest', `${path}: ${containers}, ${manifestResources(file.manifest).map(formatQuantity).join(', ')}`)
  return file
}

async function agrees(context: Context, { yes = false, dryRun = false }: DeployFlags): Promise<boolean> {
  return !dryRun && (yes || (await askYesNo(context, 'Pay the deposit and deploy?')))
}

/** @param plan what a dry run was for. */
function notDeployed({ output }: Context, path: string, plan: Plan | undefined): ExitCode {
  if (plan) {
    output.result('dry run: no money moved, nothing secret was sent', { dryRun: true, plan: planJson(plan) })
    output.next(`trustedpods deploy${path === DEFAULT_MANIFEST ? '' : ` ${path}`}`)
    return EXIT.OK
  }
  output.progress('not deployed: no money moved, nothing secret was sent')
  return EXIT.INTERRUPTED
}

interface Search {
  config: Config
  chain: Chain
  policy: Policy
  file: ManifestFile
  flags: DeployFlags
}

/** The cheapest first. @throws TrustedPodsError QUOTE_NO_PROVIDER saying why each one is out of question. */
async function findOffers(
  context: Context,
  { config, chain, policy, file, flags }: Search,
): Promise<readonly ProviderOffer[]> {
  const { id: chainId, token } = required(config, 'chain')
  const { offers, skipped } = await readProviders(config, chain, context)
  if (skipped.length > 0)
    context.output.progress(`${skipped.length} rows of the registry cannot be used: trustedpods providers`)
  const resources = manifestResources(file.manifest)
  const only = flags.provider === undefined ? {} : { only: flags.provider }
  return requireProvider(chooseProvider(offers, { resources, policy, chainId, token, ...only })).map(
    ({ offer }) => offer,
  )
}

function parseHours(text: string): number {
  const hours = Number(text)
  if (text.trim() !== '' && Number.isFinite(hours) && hours > 0 && hours <= 24 * 366) return hours
  throw new InvalidArgumentError('a number of hours above 0, at most a year, is wanted')
}
