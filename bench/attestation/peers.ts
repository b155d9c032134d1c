/**
 * Verifiers of others from npm. None is a dependency: what a bench alone needs is installed beside the repository, in a folder
 * that BENCH_PEERS names. README.md says how.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import type { Subject } from './measure.ts'

const SNP = '@tinfoilsh/verifier'
const TDX = '@phala/dcap-qvl'

/** Vectors of the kind `snp` or `tdx` are in a folder of that name. Who is not installed, or does not start, is skipped aloud. */
export async function openPeers(vectors: string): Promise<Subject[]> {
  const require = createRequire(join(resolve(process.env.BENCH_PEERS ?? '.'), 'package.json'))
  const opened = await Promise.all([
    open(SNP, () => snpPeer(require, join(vectors, 'snp'))),
    open(TDX, async () => tdxPeer(require, join(vectors, 'tdx'))),
  ])
  return opened.filter((subject) => subject !== undefined)
}

async function open(name: string, start: () => Promise<Subject>): Promise<Subject | undefined> {
  try {
    const subject = await start()
    await subject.run()
    return subject
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    process.stderr.write(`skipped ${name}: ${reason}; install it in a folder and name that in BENCH_PEERS\n`)
    return undefined
  }
}

interface TinfoilVerifier {
  verifyAttestation(document: { format: string; body: string }, vcek: string): Promise<unknown>
}

/** The demand that all its signatures come before and that no genuine vector meets. */
const LAST_CHECK = 'TSME (transparent SME) is required'

/** Genoa only, no revocation lists, by the clock of the machine. What it then refuses has been verified: time to that refusal. */
async function snpPeer(require: NodeJS.Require, folder: string): Promise<Subject> {
  const { verifyAttestation } = (await import(pathToFileURL(require.resolve(SNP)).href)) as TinfoilVerifier
  const read = (path: string) => readFileSync(join(folder, 'real', path))
  const body = gzipSync(read('genoa-v3-azure.report.bin')).toString('base64')
  const vcek = read('genoa-v3-azure.vcek.der').toString('base64')
  const run = async () => {
    try {
      await verifyAttestation({ format: 'https://tinfoil.sh/predicate/sev-snp-guest/v2', body }, vcek)
    } catch (error) {
      if (!(error instanceof Error && error.message.includes(LAST_CHECK))) throw error
    }
  }
  return { name: `SNP by ${SNP}, no list (genoa-v3-azure)`, run }
}

/** Neither the signatures nor the dates of revocation lists. */
function tdxPeer(require: NodeJS.Require, folder: string): Subject {
  const { verify } = require(TDX) as { verify(quote: Uint8Array, collateral: unknown, seconds: number): unknown }
  const quote = readFileSync(join(folder, 'real/v4-90c06f-azure.quote.bin'))
  const collateral = readFileSync(join(folder, 'collateral/90c06f-2026-03.json'), 'utf8')
  const seconds = Date.parse('2026-03-20T00:00:00Z') / 1000
  const run = () => void verify(quote, JSON.parse(collateral), seconds)
  const { version } = require(`${TDX}/package.json`) as { version: string }
  return { name: `TDX by ${TDX} ${version} (v4-90c06f-azure)`, run }
}
