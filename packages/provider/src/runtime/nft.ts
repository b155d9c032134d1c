/** The machine's nft program. I/O. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'

/** All rules in one step. @throws TrustedPodsError PLATFORM_CONFIG when nft refuses them. */
export async function runNft(nft: string, rules: string): Promise<void> {
  const { exitCode, errors } = await spawnNft(nft, ['-f', '-'], rules)
  if (exitCode !== 0) throw refused(exitCode, errors)
}

/** The objects of a table as `nft --json` lists them; undefined: there is no such table. */
export async function listTable(nft: string, table: string): Promise<readonly unknown[] | undefined> {
  const { exitCode, output, errors } = await spawnNft(nft, ['--json', 'list', 'table', 'inet', table])
  if (exitCode === 0) return (JSON.parse(output) as { nftables: unknown[] }).nftables
  if (/No such file or directory/.test(errors)) return undefined
  throw refused(exitCode, errors)
}

async function spawnNft(nft: string, args: readonly string[], input = '') {
  const child = spawn(nft, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  const code = new Promise<number | null>((settle, fail) => child.once('exit', settle).once('error', fail))
  // One that ends before it has read everything says why in its exit status.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const [output, errors, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), code])
  return { exitCode, output, errors }
}

function refused(exitCode: number | null, errors: string): TrustedPodsError {
  return new TrustedPodsError('PLATFORM_CONFIG', `nft ended with ${exitCode}: ${errors.trim().slice(0, 500)}`)
}
