/** Verifiers of others from npm, where they are installed: none is a dependency of the product. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Subject } from './measure.ts'

/** Loads one; undefined where it is not installed or does not start, with a word about it on stderr. */
export async function tdxPeer(folder: string): Promise<Subject | undefined> {
  const name = '@phala/dcap-qvl'
  try {
    const module = (await import(name)) as { verify?: Verify; default?: { verify?: Verify } }
    const verify = module.verify ?? module.default?.verify
    if (verify === undefined) throw new TypeError('it has no verify')
    const quote = readFileSync(join(folder, 'real/v4-90c06f-azure.quote.bin'))
    const collateral = readFileSync(join(folder, 'collateral/90c06f-2026-03.json'), 'utf8')
    const seconds = Date.parse('2026-03-20T00:00:00Z') / 1000
    const run = () => {
      const recorded = JSON.parse(collateral) as Record<string, unknown>
      for (const key of HEX_FIELDS) recorded[key] = Buffer.from(String(recorded[key]), 'hex')
      verify(quote, recorded, seconds)
    }
    run()
    return { name, run }
  } catch (error) {
    process.stderr.write(`skipped ${name}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}\n`)
    return undefined
  }
}

type Verify = (quote: Uint8Array, collateral: unknown, seconds: number) => unknown

const HEX_FIELDS = ['root_ca_crl', 'pck_crl', 'tcb_info_signature', 'qe_identity_signature']

/** SNP: AGPL-3.0, and its published form does not install, so it is never fetched here; its figure is in the notes of the bench. */
export function snpPeerNote(): string {
  return 'skipped @tinfoilsh/verifier: AGPL-3.0, and it does not install as published'
}
