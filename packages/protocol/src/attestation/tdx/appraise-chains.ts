/** Judges the certificate chains of TDX evidence. Spec: spec/ATTESTATION.md#tdx-certificates. Pure. */
import { SIMULATED_TRUST } from '#simulated-trust'
import { equalBytes } from '../../bytes.ts'
import { type Check, judge, rate } from '../checks.ts'
import { SIMULATION_EXTENSION, SIMULATION_ORGANIZATION } from '../snp/product.ts'
import {
  BASIC_CONSTRAINTS,
  CERT_SIGN,
  type Certificate,
  DIGITAL_SIGNATURE,
  KEY_USAGE,
  readBasicConstraints,
  readKeyUsage,
} from '../x509.ts'
import type { CertificatePool, PooledCertificate } from './certificate-pool.ts'
import type { PckChain, TdxAnchor, TdxChain } from './chains.ts'
import { SGX_EXTENSION } from './pck.ts'
import { type TdxNames, tdxNames } from './roots.ts'

export interface ChainParts {
  readonly pckChain: PckChain
  /** Of TCB info and QE identity, where they could be read. */
  readonly signing: readonly TdxChain[]
  readonly anchor: TdxAnchor
  readonly pool: CertificatePool
  readonly now: Date
}

/** All chain.* checks that need no revocation list. @throws ATTEST_EVIDENCE_MALFORMED for an extension of wrong form. */
export async function appraiseChains(parts: ChainParts): Promise<Check[]> {
  const { pckChain, signing, anchor, pool, now } = parts
  const chains = [pckChain, ...signing]
  const members = toMembers(chains)
  const names = tdxNames(anchor.maker ?? 'Intel')
  const signed = checkSignatures(chains, { anchor, pool })
  return [
    checkTrust(pckChain, anchor),
    judge('chain.untrusted-root', anchor.maker !== undefined, 'a pinned root', anchor.fingerprint),
    checkNames(pckChain, names),
    checkPurpose(signing, names),
    checkAuthorities(chains),
    checkExtensions(members, anchor),
    checkAlgorithms(members),
    checkDates('chain.expired', members, ({ notAfter }) => now.getTime() <= notAfter.getTime()),
    checkDates('chain.not-yet-valid', members, ({ notBefore }) => now.getTime() >= notBefore.getTime()),
    await signed,
  ]
}

/** A development root, or one that calls itself so. */
export function isSimulated({ root }: TdxChain, anchor: TdxAnchor): boolean {
  return anchor.maker === 'Simulated' || root.subject.organization === SIMULATION_ORGANIZATION
}

/** A development root warns when the policy names it, and refuses when it only says that it is one. */
function checkTrust(chain: PckChain, anchor: TdxAnchor): Check {
  const isNamed = anchor.maker === 'Simulated'
  const tier = isNamed ? 'warning' : isSimulated(chain, anchor) ? 'contraindicated' : 'affirming'
  return rate('trust.simulated', tier, "the processor maker's root", formatName(chain.root))
}

type Member = readonly [name: string, certificate: PooledCertificate]

/** Each certificate once, with what findings call it. */
function toMembers(chains: readonly TdxChain[]): Member[] {
  const members = new Map<PooledCertificate, string>()
  for (const { name, certificates, root } of chains) {
    for (const [i, certificate] of certificates.entries()) {
      if (members.has(certificate)) continue
      members.set(certificate, certificate === root ? 'root' : i === 0 ? name : `issuer ${i} of ${name}`)
    }
  }
  return [...members].map(([certificate, name]) => [name, certificate])
}

/** PCK, one of the CAs for it, root: named so, each issued in the name of the next. */
function checkNames({ certificates }: PckChain, names: TdxNames): Check {
  const [leaf, intermediate, root, ...rest] = certificates
  const wanted = `${names.organization}/${names.pck}, ${names.intermediates.join(' or ')}, ${names.root}`
  const got = certificates.map(formatName).join(', ')
  const isNamed =
    leaf?.subject.commonName === names.pck &&
    names.intermediates.some((name) => name === intermediate?.subject.commonName) &&
    root?.subject.commonName === names.root &&
    rest.length === 0 &&
    certificates.every(({ subject }) => subject.organization === names.organization)
  const linked = isLinked(certificates)
  return judge('chain.names', isNamed && linked, wanted, linked ? got : 'issuers that differ')
}

function isLinked(certificates: readonly Certificate[]): boolean {
  return certificates.every(({ issuer, subject }, i) =>
    equalBytes(issuer.raw, (certificates[i + 1]?.subject ?? subject).raw),
  )
}

/** Only the TCB signing key, which the root itself certified, speaks of security versions; a PCK never does. */
function checkPurpose(signing: readonly TdxChain[], names: TdxNames): Check {
  const wanted = `${names.signing} under ${names.root}`
  const wrong = signing.filter(({ certificates, leaf, root }) => {
    const usage = readKeyUsage(leaf)
    return (
      certificates.length !== 2 ||
      !isLinked(certificates) ||
      leaf.subject.commonName !== names.signing ||
      leaf.subject.organization !== names.organization ||
      root.subject.commonName !== names.root ||
      leaf.extensions.has(SGX_EXTENSION) ||
      (usage !== undefined && (usage & DIGITAL_SIGNATURE) === 0)
    )
  })
  const got = wrong.map(({ name, certificates }) => `${name} by ${certificates.map(formatName).join(', ')}`).join('; ')
  return judge(
    'chain.purpose',
    signing.length > 0 && wrong.length === 0,
    wanted,
    got || (signing.length ? wanted : 'none'),
  )
}

function checkAuthorities(chains: readonly TdxChain[]): Check {
  const wrong = chains.flatMap(({ name, leaf, certificates }) => [
    ...(readBasicConstraints(leaf).isCa ? [`${name} is a CA`] : []),
    ...certificates
      .slice(1)
      .flatMap((certificate, below) =>
        isAuthority(certificate, below) ? [] : [`issuer ${below + 1} of ${name} is none`],
      ),
  ])
  return judge('chain.not-ca', wrong.length === 0, 'CAs over no CA', wrong.join(', ') || 'as expected')
}

/** A CA that may sign certificates and have `below` further CAs under it. */
function isAuthority(certificate: Certificate, below: number): boolean {
  const { isCa, pathLength } = readBasicConstraints(certificate)
  const usage = readKeyUsage(certificate)
  return isCa && (pathLength ?? below) >= below && (usage === undefined || (usage & CERT_SIGN) !== 0)
}

/** Under a development root each certificate must have the simulation mark; anywhere else the mark is unknown. */
function checkExtensions(members: readonly Member[], { maker }: TdxAnchor): Check {
  const isMarked = SIMULATED_TRUST !== undefined && maker === 'Simulated'
  const known = [BASIC_CONSTRAINTS, KEY_USAGE, ...(isMarked ? [SIMULATION_EXTENSION] : [])]
  const wrong = members.flatMap(([name, { extensions }]) => {
    const unknown = [...extensions].filter(([oid, { critical }]) => critical && !known.includes(oid))
    const lacksMark = isMarked && extensions.get(SIMULATION_EXTENSION)?.critical !== true
    return [...unknown.map(([oid]) => `${name} ${oid}`), ...(lacksMark ? [`${name} without the simulation mark`] : [])]
  })
  const wanted = isMarked ? 'the simulation mark and no other' : 'none'
  return judge('chain.extension', wrong.length === 0, wanted, wrong.join(', ') || wanted)
}

function checkAlgorithms(members: readonly Member[]): Check {
  const wrong = members.flatMap(([name, { publicKey, isEcdsaSha256 }]) => [
    ...(publicKey.kind === 'P-256' ? [] : [`${name} key ${publicKey.kind}`]),
    ...(isEcdsaSha256 ? [] : [`${name} signature`]),
  ])
  const wanted = 'P-256, ECDSA with SHA-256'
  return judge('chain.algorithm', wrong.length === 0, wanted, wrong.join(', ') || wanted)
}

function checkDates(
  code: 'chain.expired' | 'chain.not-yet-valid',
  members: readonly Member[],
  holds: (certificate: Certificate) => boolean,
): Check {
  const got = members
    .filter(([, certificate]) => !holds(certificate))
    .map(([name, { notBefore, notAfter }]) => `${name} ${notBefore.toISOString()} to ${notAfter.toISOString()}`)
  return judge(code, got.length === 0, 'valid now', got.join(', ') || 'valid')
}

/** A pinned root needs no signature of its own: the hash that it is known by covers all of it. */
async function checkSignatures(
  chains: readonly TdxChain[],
  { anchor, pool }: Pick<ChainParts, 'anchor' | 'pool'>,
): Promise<Check> {
  const isPinned = anchor.maker !== undefined
  const links = chains.flatMap(({ name, certificates, root }) =>
    certificates
      .map((certificate, i) => [`${i} of ${name}`, certificate, certificates[i + 1] ?? root] as const)
      .filter(([, certificate, issuer]) => !(isPinned && certificate === root && issuer === root)),
  )
  const good = await Promise.all(links.map(([, certificate, issuer]) => pool.isSignedBy(certificate, issuer)))
  const got = links.filter((_, i) => !good[i]).map(([name]) => `${name} is not`)
  return judge('chain.signature', got.length === 0, 'all signed by their issuers', got.join(', ') || 'all signed')
}

function formatName({ subject }: Certificate): string {
  return `${subject.organization}/${subject.commonName}`
}
