/** `trustedpods init`: a starter manifest. */
import { writeFile } from 'node:fs/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { initManifest } from '@trusted-pods/protocol/manifest/init.ts'
import { parseManifest } from '@trusted-pods/protocol/manifest/parse.ts'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { DEFAULT_MANIFEST } from '../manifest-file.ts'
import type { Run } from './command.ts'

interface InitFlags {
  image: string
  port: string[]
  host?: string
  force?: boolean
}

export function addInit(program: Command, run: Run): void {
  program
    .command('init')
    .argument('[manifest]', 'file to write', DEFAULT_MANIFEST)
    .description('write a starter manifest')
    .requiredOption('--image <name>', 'image that the pod runs, as your container engine knows it')
    .option(
      '--port <port>',
      'port to expose, as 8080 or 8080:80; can be repeated',
      (port, before: string[]) => [...before, port],
      [],
    )
    .option('--host <name>', 'host name at the HTTP front of the provider, served from the first port')
    .option('--force', 'write over a file that is there')
    .action((path: string, flags: InitFlags, command: Command) => run(command, (context) => init(context, path, flags)))
}

async function init(
  { output }: Context,
  path: string,
  { image, port, host, force = false }: InitFlags,
): Promise<ExitCode> {
  const text = initManifest({ image, ports: port, ...(host !== undefined && { host }) })
  parseManifest(text, { file: path })
  try {
    await writeFile(path, text, { flag: force ? 'w' : 'wx' })
  } catch (cause) {
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    throw new TrustedPodsError(
      'PLATFORM_CONFIG',
      exists ? `${path} is there already: --force writes over it` : `${path} cannot be written`,
      { cause },
    )
  }
  output.result(`wrote ${path}`, { manifest: path })
  const argument = path === DEFAULT_MANIFEST ? '' : ` ${path}`
  output.next(`trustedpods validate${argument}`, `trustedpods deploy${argument}`)
  return EXIT.OK
}
