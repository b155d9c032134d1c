/** `trustedpods validate`: every problem of a manifest with its place. Touches nothing. */
import { formatProblem } from '@trusted-pods/protocol/manifest/problem.ts'
import { manifestResources } from '@trusted-pods/protocol/manifest/resources.ts'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { DEFAULT_MANIFEST, inspectManifest } from '../manifest-file.ts'
import { countOf, formatQuantity } from '../units.ts'
import type { Run } from './command.ts'

export function addValidate(program: Command, run: Run): void {
  program
    .command('validate')
    .argument('[manifest]', 'manifest to check', DEFAULT_MANIFEST)
    .description('check a manifest; exits with 0 when it is valid, with 3 when not')
    .action((path: string, _: unknown, command: Command) => run(command, (context) => validate(context, path)))
}

async function validate({ output }: Context, path: string): Promise<ExitCode> {
  const { manifest, problems } = await inspectManifest(path)
  const resources = manifest ? manifestResources(manifest) : []
  const errors = problems.filter(({ severity }) => severity === 'error').length
  const warnings = problems.length - errors
  const summary = manifest
    ? `valid: ${countOf(manifest.containers.length, 'container')}, ${resources.map(formatQuantity).join(', ')}`
    : `not valid: ${countOf(errors, 'error')}`
  const counted = warnings > 0 ? `${summary}; ${countOf(warnings, 'warning')}` : summary
  output.result([...problems.map(formatProblem), counted].join('\n'), {
    valid: manifest !== undefined,
    problems,
    resources: resources.map(({ name, quantity, selector }) => ({ name, quantity: quantity.toString(), selector })),
  })
  return manifest ? EXIT.OK : EXIT.MANIFEST
}
