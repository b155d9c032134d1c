/** tpodserver as a process of its own. */
import { join } from 'node:path'
import { type Child, startChild } from './children.ts'
import type { Places } from './places.ts'

/** What tpodserver prints once it serves. */
export interface Ready {
  readonly peerId: string
  readonly multiaddrs: readonly string[]
  /** "ip:port" of the HTTP front. */
  readonly http: string
  /** SHA-256 of its development root, hex. */
  readonly simulatedRoot: string
}

export async function startProviderProcess(places: Places): Promise<{ child: Child; ready: Ready }> {
  const main = join(places.root, 'packages/provider/src/main.ts')
  const args = [...process.execArgv, main, 'run', '--config', places.providerConfig]
  const logFile = join(places.logs, 'tpodserver.log')
  const child = await startChild(places.folder, '1-tpodserver', { program: process.execPath, args, logFile })
  return { child, ready: await child.line(parseReady) }
}

function parseReady(line: string): Ready | undefined {
  return line.startsWith('{') ? JSON.parse(line) : undefined
}
