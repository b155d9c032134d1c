/**
 * Verifiers of others from npm. None is a dependency: what a bench alone needs is installed beside the repository, in a folder
 * that BENCH_PEERS names (`npm install --ignore-scripts @phala/dcap-qvl@0.3.9` there).
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import type { Subject } from './measure.ts'

const NAME = '@phala/dcap-qvl'

/** TDX; undefined where it is not installed or does not start, with a word about it on stderr. */
export function tdxPeer(folder: string): Subject | undefined {
  try {
    const require = createRequire(join(resolve(process.env.BENCH_PEERS ?? '.'), 'package.json'))
    const { verify } = require(NAME) as { verify(quote: Uint8Array, collateral: unknown, seconds: number): unknown }
    const quote = readFileSync(join(folder, 'real/v4-90c06f-azure.quote.bin'))
    const collateral = readFileSync(join(folder, 'collateral/90c06f-2026-03.json'), 'utf8')
    const seconds = Date.parse('2026-03-20T00:00:00Z') / 1000
    const run = () => void verify(quote, JSON.parse(collateral), seconds)
    run()
    const { version } = require(`${NAME}/package.json`) as { version: string }
    return { name: `TDX by ${NAME} ${version} (v4-90c06f-azure)`, run }
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    process.stderr.write(`skipped ${NAME}: ${reason}; install it in a folder and name that in BENCH_PEERS\n`)
    return undefined
  }
}

/** The one for SNP is never installed: the figure of another run is in README.md. */
export function snpPeerNote(): string {
  return 'skipped @tinfoilsh/verifier: AGPL-3.0, and it does not install as published'
}
