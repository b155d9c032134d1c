/** Podman's own service as an engine behind a socket, with a store of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectEngine } from '@trusted-pods/platform/engine/engine-client.ts'

export interface EngineProcess extends AsyncDisposable {
  readonly socket: string
}

/** How long it may take to open its store, and how often we look. */
const START_MS = 30_000
const LOOK_MS = 100

export async function startPodman(): Promise<EngineProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-podman-'))
  const socket = join(folder, 'podman.sock')
  const store = ['--storage-driver', 'vfs', '--root', join(folder, 'store'), '--runroot', join(folder, 'run')]
  const child = spawn('podman', [...store, 'system', 'service', '--time', '0', `unix://${socket}`], { stdio: 'ignore' })
  const stop = async () => {
    child.kill()
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await untilItAnswers(socket)
  } catch (error) {
    await stop()
    throw error
  }
  return { socket, [Symbol.asyncDispose]: stop }
}

async function untilItAnswers(socket: string): Promise<void> {
  const deadline = performance.now() + START_MS
  for (;;) {
    try {
      await connectEngine(socket)
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  }
}
