/** A containerd of its own, with its own data, reached by `ctr`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runProgramOf } from './programs.ts'

export interface ContainerdProcess extends AsyncDisposable {
  /** @returns its stdout. */
  ctr(...args: string[]): Promise<string>
}

export async function startContainerd(): Promise<ContainerdProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-containerd-'))
  const socket = join(folder, 'c.sock')
  const config = [
    'version = 2',
    `root = "${folder}/root"`,
    `state = "${folder}/state"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.restart"]',
    '[grpc]',
    `address = "${socket}"`,
  ]
  await writeFile(join(folder, 'config.toml'), config.join('\n'))
  const child = spawn('containerd', ['-c', join(folder, 'config.toml')], { stdio: ['ignore', 'ignore', 'pipe'] })
  const booted = Promise.withResolvers<void>()
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    if (said.length < 100_000) said += part
    if (said.includes('successfully booted')) booted.resolve()
  })
  child.stderr.on('end', () => booted.reject(new Error(`containerd did not start: ${said.slice(-2000)}`)))
  await booted.promise
  return {
    ctr: (...args) => runProgramOf('ctr', ['--address', socket, '--namespace', 'test', ...args]),
    async [Symbol.asyncDispose]() {
      child.kill()
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      await rm(folder, { recursive: true, force: true })
    },
  }
}
