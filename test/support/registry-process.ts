/** A real registry (Debian's docker-registry, distribution 2.8) as a process on loopback. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'

/** me:sesame in bcrypt, the only form that it takes. */
const HTPASSWD = 'me:$2y$05$.DJl6yyDQHK00ikhRHoLFO/Sy6IjAPGybNFQ9eatr9qiZZCNH4WVy\n'

export interface RegistryProcess extends AsyncDisposable {
  /** host:port. */
  readonly host: string
}

export interface RegistryProcessOptions {
  /** Whether it wants user `me` with password `sesame`. */
  readonly password?: boolean
  /** Who gives tokens for it: an address, and the certificate (PEM file) that signs them. */
  readonly tokens?: { readonly realm: string; readonly certificate: string }
}

export async function startRegistry({ password, tokens }: RegistryProcessOptions = {}): Promise<RegistryProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-registry-'))
  const htpasswd = join(folder, 'htpasswd')
  await writeFile(htpasswd, HTPASSWD)
  const config = {
    version: '0.1',
    log: { level: 'info', formatter: 'json' },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr: '127.0.0.1:0' },
    ...(password && { auth: { htpasswd: { realm: 'test', path: htpasswd } } }),
    ...(tokens && {
      auth: { token: { realm: tokens.realm, service: 'test', issuer: 'test', rootcertbundle: tokens.certificate } },
    }),
  }
  await writeFile(join(folder, 'config.yml'), JSON.stringify(config))
  const child = spawn('docker-registry', ['serve', join(folder, 'config.yml')], { stdio: ['ignore', 'ignore', 'pipe'] })
  const host = await addressOf(child.stderr)
  return {
    host,
    async [Symbol.asyncDispose]() {
      child.kill()
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      await rm(folder, { recursive: true })
    },
  }
}

/** It says where it listens; what it says later is let go, so that it never waits for us. */
function addressOf(log: Readable): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let said = ''
  log.setEncoding('utf8').on('data', (part: string) => {
    if (said.length < 10_000) said += part
    const address = /listening on (127\.0\.0\.1:\d+)/.exec(said)?.[1]
    if (address !== undefined) resolve(address)
  })
  log.on('end', () => reject(new Error(`docker-registry did not start: ${said.slice(0, 2000)}`)))
  return promise
}
