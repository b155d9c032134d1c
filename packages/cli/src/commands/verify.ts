/** `trustedpods verify`: judges saved evidence by a policy, without the provider and without a network. */
import { appraise } from '@trusted-pods/protocol/attestation/appraise.ts'
import { formatVerdict, isAccepted } from '@trusted-pods/protocol/attestation/verdict.ts'
import { type Command, InvalidArgumentError } from 'commander'
import { loadConfig } from '../config.ts'
import { loadPolicy } from '../connections.ts'
import type { Context } from '../context.ts'
import { readEvidenceFile } from '../evidence-files.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import type { Run } from './command.ts'

interface VerifyFlags {
  policy?: string
  now?: Date
}

export function addVerify(program: Command, run: Run): void {
  program
    .command('verify')
    .argument('<evidence-file>', 'what trustedpods attest --save has written')
    .description('judge saved evidence offline; exits with 5 when the policy refuses it')
    .option('--policy <file>', 'policy in place of the configured one')
    .option('--now <time>', 'judge as at this time (ISO 8601), not as of now', toTime)
    .action((file: string, flags: VerifyFlags, command: Command) =>
      run(command, (context) => verify(context, file, flags)),
    )
}

/** When the nonce was drawn nobody can tell from a file, so its age is not judged: the verdict says what else holds. */
async function verify({ output, configPath }: Context, file: string, flags: VerifyFlags): Promise<ExitCode> {
  const policy = await loadPolicy(await loadConfig(configPath), flags.policy)
  const { evidence, expected, receivedAt } = await readEvidenceFile(file)
  const verdict = await appraise(evidence, { policy, now: flags.now ?? new Date(), expected })
  const accepted = isAccepted(verdict, policy)
  const lines = formatVerdict(verdict, { color: output.colours.red('') !== '' })
  output.progress(
    `received ${receivedAt.toISOString()}, as the file says; that the nonce was fresh then cannot be judged offline`,
  )
  output.result(lines.join('\n'), { accepted, freshness: 'not judged', receivedAt, verdict })
  return accepted ? EXIT.OK : EXIT.ATTESTATION_REFUSED
}

function toTime(text: string): Date {
  const time = new Date(text)
  if (Number.isNaN(time.getTime())) throw new InvalidArgumentError('a time in ISO 8601 is wanted')
  return time
}
