/** Judges revocation: absent warns, stale warns, anything forged refuses. Spec: spec/ATTESTATION.md#revocation. Pure. */
import { equalBytes, toHex } from '../../bytes.ts'
import { TrustedPodsError } from '../../errors.ts'
import { type Check, judge, rate } from '../checks.ts'
import { parseCrl, type RevocationList } from '../crl.ts'
import { verifyPss } from '../signature-algorithm.ts'
import { CRL_SIGN, readKeyUsage } from '../x509.ts'
import type { Chain } from './appraise-chain.ts'

export interface RevocationOptions {
  readonly revocation: 'required' | 'preferred'
  readonly now: Date
}

export interface RevocationAppraisal {
  readonly checks: Check[]
  /** When the newest genuine list ends. */
  readonly nextUpdate?: Date
}

/** Only the root issues lists, and they speak of what the root issued: of the intermediate and of itself. */
export async function appraiseRevocation(
  chain: Chain,
  crls: readonly Uint8Array[],
  { revocation, now }: RevocationOptions,
): Promise<RevocationAppraisal> {
  const unmet = revocation === 'required' ? 'contraindicated' : 'warning'
  const wanted = `a list signed by ${chain.root.subject.commonName}`
  if (crls.length === 0) return { checks: [rate('chain.revocation-unknown', unmet, wanted, 'none')] }
  const lists: RevocationList[] = []
  for (const crl of crls) {
    const found = await readGenuine(crl, chain, now)
    if (typeof found === 'string') return { checks: [judge('chain.revocation-unknown', false, wanted, found)] }
    lists.push(found)
  }
  const newest = lists.reduce((a, b) => (b.thisUpdate.getTime() > a.thisUpdate.getTime() ? b : a))
  const { nextUpdate } = newest
  const isCurrent = now.getTime() <= nextUpdate.getTime()
  const checks = [
    judge('chain.revocation-unknown', true, wanted, `one of ${newest.thisUpdate.toISOString()}`),
    rate(
      'chain.revocation-stale',
      isCurrent ? 'affirming' : unmet,
      `current at ${now.toISOString()}`,
      `until ${nextUpdate.toISOString()}`,
    ),
    checkRevoked(chain, lists),
  ]
  return { checks, nextUpdate }
}

/** The list, or what is wrong with it. */
async function readGenuine(der: Uint8Array, { root, rootKey }: Chain, now: Date): Promise<RevocationList | string> {
  try {
    const list = parseCrl(der)
    const usage = readKeyUsage(root)
    if (!equalBytes(list.issuer.raw, root.subject.raw)) return `a list of ${list.issuer.commonName}`
    if (!list.isPssSha384) return 'a list with another signature algorithm'
    if (usage !== undefined && (usage & CRL_SIGN) === 0) return 'a list by a key that may sign none'
    if (!(await verifyPss(await rootKey, list.signature, list.tbs))) return 'a forged list'
    return list.thisUpdate.getTime() <= now.getTime() ? list : `a list from ${list.thisUpdate.toISOString()}`
  } catch (error) {
    if (error instanceof TrustedPodsError) return `no list: ${error.message}`
    throw error
  }
}

function checkRevoked({ intermediate, root }: Chain, lists: readonly RevocationList[]): Check {
  const revoked = [intermediate, root].filter(({ serial }) => lists.some((list) => list.revoked.has(toHex(serial))))
  const got = revoked.map(({ subject, serial }) => `${subject.commonName} serial ${toHex(serial)}`).join(', ')
  return judge('chain.revoked', revoked.length === 0, 'none revoked', got || 'none')
}
