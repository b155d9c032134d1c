/** `trustedpods attest`: asks one provider for evidence and shows the verdict, check by check. Sends nothing secret, pays nothing. */
import { formatVerdict, type Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import { attest as attestPeer, type ReceivedEvidence, refusedVerdict } from '@trusted-pods/publisher/attest.ts'
import { dial } from '@trusted-pods/publisher/dial.ts'
import { type ProviderOffer, platformIds } from '@trusted-pods/publisher/offer.ts'
import type { Command } from 'commander'
import { loadConfig } from '../config.ts'
import { loadPolicy, openChain, openNode } from '../connections.ts'
import type { Context } from '../context.ts'
import { writeEvidenceFile } from '../evidence-files.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { readProviders } from '../registry.ts'
import type { Run } from './command.ts'

interface AttestFlags {
  policy?: string
  save?: string
}

export function addAttest(program: Command, run: Run): void {
  program
    .command('attest')
    .argument('<provider>', 'peer id or account of an announced provider')
    .description('verify a provider against the policy; exits with 5 when it is refused')
    .option('--policy <file>', 'policy in place of the configured one')
    .option('--save <file>', 'keep the evidence, accepted or not, for trustedpods verify')
    .action((provider: string, flags: AttestFlags, command: Command) =>
      run(command, (context) => attest(context, provider, flags)),
    )
}

async function attest(context: Context, name: string, flags: AttestFlags): Promise<ExitCode> {
  const config = await loadConfig(context.configPath)
  const policy = await loadPolicy(config, flags.policy)
  const offer = findOffer((await readProviders(config, await openChain(config, context), context)).offers, name)
  const { signal } = context
  await using own = await openNode(context)
  await using peer = await dial(own.node, offer, { signal })
  context.output.step('wire', `connected to ${boundText(peer.connection.remoteAddr.toString())}`)
  let received: ReceivedEvidence | undefined
  const onEvidence = (evidence: ReceivedEvidence) => {
    received = evidence
  }
  try {
    const { verdict } = await attestPeer(peer, policy, { platformIds: platformIds(offer), onEvidence, signal })
    printVerdict(context, offer, { verdict, accepted: true })
    return EXIT.OK
  } catch (error) {
    const verdict = refusedVerdict(error)
    if (verdict) printVerdict(context, offer, { verdict, accepted: false })
    throw error
  } finally {
    if (received && flags.save !== undefined) await saveEvidence(context, flags.save, received)
  }
}

async function saveEvidence({ output }: Context, path: string, received: ReceivedEvidence): Promise<void> {
  await writeEvidenceFile(path, received)
  output.progress(`evidence saved to ${path}`)
  output.next(`trustedpods verify ${path}`)
}

function printVerdict(
  { output }: Context,
  { peerId }: ProviderOffer,
  { verdict, accepted }: { verdict: Verdict; accepted: boolean },
): void {
  const lines = formatVerdict(verdict, { color: output.colours.red('') !== '' })
  output.result(lines.join('\n'), { provider: peerId, accepted, verdict })
}

function findOffer(offers: readonly ProviderOffer[], name: string): ProviderOffer {
  const offer = offers.find(({ peerId, account }) => peerId === name || account.toLowerCase() === name.toLowerCase())
  if (offer) return offer
  throw new TrustedPodsError(
    'QUOTE_NO_PROVIDER',
    `no provider ${name.slice(0, 80)} among the ${offers.length} that are announced`,
  )
}
