/** Where npm put anvil, the development chain: the native binary, without the Node launcher around it. */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** @throws when the optional package of this platform is not installed. */
export function anvilProgram(): string {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  const manifest = createRequire(import.meta.url).resolve(
    `@foundry-rs/anvil-${process.platform}-${architecture}/package.json`,
  )
  return join(dirname(manifest), 'bin', 'anvil')
}
