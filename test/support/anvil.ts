/** A real EVM chain for tests: the native anvil as a child process on a port of its own, gone with the test. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { anvilProgram } from '@trusted-pods/platform/anvil-program.ts'
import { createTestClient, type HDAccount, http, type TestClient } from 'viem'
import { mnemonicToAccount } from 'viem/accounts'

export interface Anvil extends AsyncDisposable {
  readonly rpc: string
  readonly chainId: number
  /** Time, mining, automine, reorganisations. */
  readonly control: TestClient<'anvil'>
  /** One of ten accounts that hold 10,000 ether each. */
  account(index: number): HDAccount
  /** Kills it at once, as a crash does. */
  kill(): Promise<void>
}

export interface AnvilOptions {
  readonly chainId?: number
  /** Further command line options. */
  readonly args?: readonly string[]
}

/** Known to everybody: worthless by design. */
const MNEMONIC = 'test test test test test test test test test test test junk'
const LISTENING = /^Listening on (127\.0\.0\.1:[0-9]+)$/
/** Seen 0.1 to 0.8 s; 30 s for a machine that is busy with other tests. */
const START_TIMEOUT_MS = 30_000

export async function startAnvil({ chainId = 31_337, args = [] }: AnvilOptions = {}): Promise<Anvil> {
  const options = ['--host', '127.0.0.1', '--port', '0', '--chain-id', `${chainId}`, '--mnemonic', MNEMONIC, ...args]
  const child = spawn(anvilProgram(), options, { stdio: ['ignore', 'pipe', 'ignore'] })
  // A test run that ends by an exception must not leave it behind.
  const killOnExit = () => child.kill('SIGKILL')
  process.once('exit', killOnExit)
  const stop = async (signal: NodeJS.Signals) => {
    process.off('exit', killOnExit)
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await once(child, 'exit')
  }
  try {
    const rpc = `http://${await listeningAddress(child)}`
    return {
      rpc,
      chainId,
      control: createTestClient({ mode: 'anvil', transport: http(rpc) }),
      account: (addressIndex) => mnemonicToAccount(MNEMONIC, { addressIndex }),
      kill: () => stop('SIGKILL'),
      [Symbol.asyncDispose]: () => stop('SIGTERM'),
    }
  } catch (error) {
    await stop('SIGKILL')
    throw error
  }
}

/** It prints the address once it accepts connections. The pipe is read to the end, or it would block on a full one. */
function listeningAddress(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const timer = setTimeout(
    () => reject(new Error(`anvil did not listen within ${START_TIMEOUT_MS} ms`)),
    START_TIMEOUT_MS,
  )
  child.once('error', reject)
  child.once('exit', (code) => reject(new Error(`anvil ended with code ${code}`)))
  if (child.stdout === null) throw new Error('anvil has no output to read')
  createInterface({ input: child.stdout }).on('line', (line) => {
    const address = LISTENING.exec(line)?.[1]
    if (address !== undefined) resolve(address)
  })
  return promise.finally(() => clearTimeout(timer))
}
