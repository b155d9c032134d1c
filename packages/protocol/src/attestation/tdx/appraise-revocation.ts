/** Judges revocation by the lists of root and PCK CA: both are needed. Spec: spec/ATTESTATION.md#tdx-revocation. Pure. */
import { equalBytes, toHex } from '../../bytes.ts'
import { TrustedPodsError } from '../../errors.ts'
import { type Check, judge, rate } from '../checks.ts'
import { parseCrl, type RevocationList } from '../crl.ts'
import { CRL_SIGN, readKeyUsage } from '../x509.ts'
import type { PooledCertificate } from './certificate-pool.ts'
import type { PckChain, TdxChain } from './chains.ts'
import { verifyDerP256 } from './p256.ts'

export interface RevocationParts {
  readonly pckChain: PckChain
  readonly signing: readonly TdxChain[]
  readonly crls: readonly Uint8Array[]
  /** required: without a current list of each issuer the evidence is refused; preferred: it warns. */
  readonly revocation: 'required' | 'preferred'
  readonly now: Date
}

export interface RevocationAppraisal {
  readonly checks: Check[]
  /** When the first of the lists ends. */
  readonly nextUpdate?: Date
}

interface GenuineList extends RevocationList {
  readonly by: PooledCertificate
}

export async function appraiseRevocation(parts: RevocationParts): Promise<RevocationAppraisal> {
  const { pckChain, crls, revocation, now } = parts
  const issuers = [...new Set([pckChain.issuer, pckChain.root])]
  const wanted = `lists of ${issuers.map(({ subject }) => subject.commonName).join(' and ')}`
  const unmet = revocation === 'required' ? 'contraindicated' : 'warning'
  const read = await Promise.all(crls.map((crl) => readGenuine(crl, issuers)))
  const faults = read.filter((list) => typeof list === 'string')
  const lists = read.filter((list) => typeof list !== 'string')
  if (faults.length > 0) return { checks: [judge('chain.revocation-unknown', false, wanted, faults.join(', '))] }
  const newest = issuers.map((issuer) => findNewest(lists, issuer)).filter((list) => list !== undefined)
  const got = newest.map(({ by, thisUpdate }) => `${by.subject.commonName} ${thisUpdate.toISOString()}`).join(', ')
  const unknown = newest.length === issuers.length ? 'affirming' : unmet
  const checks = [rate('chain.revocation-unknown', unknown, wanted, got || 'none')]
  if (newest.length === 0) return { checks }
  checks.push(checkCurrent(newest, now, unmet), checkRevoked(parts, lists))
  return { checks, nextUpdate: new Date(Math.min(...newest.map(({ nextUpdate }) => nextUpdate.getTime()))) }
}

function findNewest(lists: readonly GenuineList[], issuer: PooledCertificate): GenuineList | undefined {
  return lists
    .filter(({ by }) => by === issuer)
    .toSorted((a, b) => b.thisUpdate.getTime() - a.thisUpdate.getTime())
    .at(0)
}

/** The list, or what is wrong with it. */
async function readGenuine(der: Uint8Array, issuers: readonly PooledCertificate[]): Promise<GenuineList | string> {
  try {
    const list = parseCrl(der)
    const by = issuers.find(({ subject }) => equalBytes(subject.raw, list.issuer.raw))
    if (by === undefined) return `a list of ${list.issuer.commonName}`
    if (!list.isEcdsaSha256) return 'a list with another signature algorithm'
    const usage = readKeyUsage(by)
    if (usage !== undefined && (usage & CRL_SIGN) === 0) return 'a list by a key that may sign none'
    if (!(await verifyDerP256(by.key, list.signature, list.tbs))) return 'a forged list'
    return { ...list, by }
  } catch (error) {
    if (error instanceof TrustedPodsError) return `no list: ${error.message}`
    throw error
  }
}

/** A list that has ended is stale; one that has not begun is of no use yet, whatever the policy prefers. */
function checkCurrent(lists: readonly GenuineList[], now: Date, unmet: 'contraindicated' | 'warning'): Check {
  const early = lists.filter(({ thisUpdate }) => !(thisUpdate.getTime() <= now.getTime()))
  const late = lists.filter(({ nextUpdate }) => !(now.getTime() <= nextUpdate.getTime()))
  const tier = early.length > 0 ? 'contraindicated' : late.length > 0 ? unmet : 'affirming'
  const got = lists.map(({ thisUpdate, nextUpdate }) => `${thisUpdate.toISOString()} to ${nextUpdate.toISOString()}`)
  return rate('chain.revocation-stale', tier, `current at ${now.toISOString()}`, got.join(', '))
}

/** Serial numbers are the issuer's own: each certificate is looked up in the lists of whoever signed it. */
function checkRevoked({ pckChain, signing }: RevocationParts, lists: readonly GenuineList[]): Check {
  const links = [pckChain, ...signing].flatMap(({ certificates, root }) =>
    certificates.map((certificate, i) => ({ certificate, issuer: certificates[i + 1] ?? root })),
  )
  const revoked = links.filter(({ certificate, issuer }) =>
    lists.some((list) => list.by === issuer && list.revoked.has(toHex(certificate.serial))),
  )
  const names = new Set(revoked.map(({ certificate: { subject, serial } }) => `${subject.commonName} ${toHex(serial)}`))
  return judge('chain.revoked', names.size === 0, 'none revoked', [...names].join(', ') || 'none')
}
