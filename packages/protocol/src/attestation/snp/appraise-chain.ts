/** Judges the certificate chain leaf, intermediate, root. Spec: spec/ATTESTATION.md#certificates. Pure. */
import { SIMULATED_TRUST } from '#simulated-trust'
import { sha256, toHex } from '../../bytes.ts'
import { TrustedPodsError } from '../../errors.ts'
import { type Check, judge } from '../checks.ts'
import { importPssKey, verifyPss } from '../signature-algorithm.ts'
import {
  BASIC_CONSTRAINTS,
  CERT_SIGN,
  type Certificate,
  KEY_USAGE,
  parseCertificate,
  readBasicConstraints,
  readKeyUsage,
} from '../x509.ts'
import { type Endorsement, readEndorsement } from './endorsement.ts'
import type { EndorsementKind } from './policy.ts'
import { chainNames, endorsementKind, productByName, SIMULATION_EXTENSION } from './product.ts'
import type { TrustedRoot } from './roots.ts'
import type { SnpProduct } from './tcb.ts'

/** Certificates that could be read. */
export interface ChainCertificates {
  readonly leaf: Certificate
  readonly intermediate: Certificate
  readonly root: Certificate
  readonly rootDer: Uint8Array
  readonly endorsement: Endorsement
}

/** A chain that could be read; what it proves is in the checks only. */
export interface Chain extends ChainCertificates {
  readonly rootFingerprint: string
  /** undefined: the key cannot be used. Never rejects. */
  readonly rootKey: Promise<CryptoKey | undefined>
  /** By the name of the leaf; undefined: neither. */
  readonly kind: EndorsementKind | undefined
  /** The trust anchor; undefined: the root is not trusted. */
  readonly anchor: TrustedRoot | undefined
  /** What the anchor vouches for; without one, what the leaf says, so that the other checks can be made. */
  readonly product: SnpProduct | undefined
}

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED unless these are three certificates, leaf first, that can be read. */
export function parseChain(certificates: readonly Uint8Array[]): ChainCertificates {
  const [leafDer, intermediateDer, rootDer, ...rest] = certificates
  if (leafDer === undefined || intermediateDer === undefined || rootDer === undefined || rest.length > 0) {
    throw new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', `expected 3 certificates, got ${certificates.length}`)
  }
  const leaf = parseCertificate(leafDer)
  const endorsement = readEndorsement(leaf)
  return {
    leaf,
    intermediate: parseCertificate(intermediateDer),
    root: parseCertificate(rootDer),
    rootDer,
    endorsement,
  }
}

/** Finds what vouches for the root. */
export async function anchorChain(certificates: ChainCertificates, roots: readonly TrustedRoot[]): Promise<Chain> {
  const { leaf, root, rootDer, endorsement } = certificates
  const rootKey = importIssuerKey(root)
  const rootFingerprint = toHex(await sha256(rootDer))
  const named = roots.find(({ fingerprint }) => fingerprint === rootFingerprint)
  const anchor = named?.product === 'Simulated' && !SIMULATED_TRUST ? undefined : named
  return {
    ...certificates,
    rootFingerprint,
    rootKey,
    kind: endorsementKind(leaf.subject.commonName),
    anchor,
    product: anchor?.product ?? productByName(endorsement.productName),
  }
}

/** What is no plain RSA key issues nothing, whatever an engine would make of it; its size is told by chain.algorithm. */
async function importIssuerKey({ publicKey: { kind, spki } }: Certificate): Promise<CryptoKey | undefined> {
  return kind.startsWith('RSA-') ? await importPssKey(spki) : undefined
}

/** All chain.* checks that need neither the report nor a revocation list. @throws ATTEST_EVIDENCE_MALFORMED as above. */
export async function appraiseChain(chain: Chain, now: Date): Promise<Check[]> {
  // Verified by other threads while the rest is judged here.
  const signatures = checkSignatures(chain)
  return [
    judge('chain.untrusted-root', chain.anchor !== undefined, 'a pinned root', chain.rootFingerprint),
    checkNames(chain),
    checkAuthorities(chain),
    checkExtensions(chain),
    checkAlgorithms(chain),
    checkExpired(chain, now),
    checkNotYetValid(chain, now),
    await signatures,
  ]
}

/** The certificates with what each is called in findings. */
function members(chain: Chain): [string, Certificate][] {
  return [
    ['leaf', chain.leaf],
    ['intermediate', chain.intermediate],
    ['root', chain.root],
  ]
}

function checkNames(chain: Chain): Check {
  const { leaf, intermediate, root } = chain
  const got = members(chain).map(([, { subject }]) => `${subject.organization}/${subject.commonName}`)
  const isLinked =
    toHex(leaf.issuer.raw) === toHex(intermediate.subject.raw) &&
    toHex(intermediate.issuer.raw) === toHex(root.subject.raw) &&
    toHex(root.issuer.raw) === toHex(root.subject.raw)
  if (chain.product === undefined || chain.kind === undefined) {
    return judge('chain.names', false, 'the names of a known processor line', got.join(', '))
  }
  const names = chainNames(chain.product, chain.kind)
  const wanted = [names.leaf, names.intermediate, names.root].map((name) => `${names.organization}/${name}`)
  const isNamed = wanted.every((name, i) => name === got[i])
  return judge('chain.names', isLinked && isNamed, wanted.join(', '), isLinked ? got.join(', ') : 'issuers that differ')
}

function checkAuthorities(chain: Chain): Check {
  const wrong = [
    ...(isAuthority(chain.root, 1) ? [] : ['root is no CA']),
    ...(isAuthority(chain.intermediate, 0) ? [] : ['intermediate is no CA']),
    ...(readBasicConstraints(chain.leaf).isCa ? ['leaf is a CA'] : []),
  ]
  return judge('chain.not-ca', wrong.length === 0, 'CA, CA, no CA', wrong.join(', ') || 'as expected')
}

/** A CA that may sign certificates and have `below` further CAs under it. */
function isAuthority(certificate: Certificate, below: number): boolean {
  const { isCa, pathLength } = readBasicConstraints(certificate)
  const usage = readKeyUsage(certificate)
  return isCa && (pathLength ?? below) >= below && (usage === undefined || (usage & CERT_SIGN) !== 0)
}

/** Under a development root each certificate must have the simulation mark; anywhere else the mark is unknown. */
function checkExtensions(chain: Chain): Check {
  const isSimulated = SIMULATED_TRUST !== undefined && chain.anchor?.product === 'Simulated'
  const known = [BASIC_CONSTRAINTS, KEY_USAGE, ...(isSimulated ? [SIMULATION_EXTENSION] : [])]
  const wrong = members(chain).flatMap(([name, { extensions }]) => {
    const unknown = [...extensions].filter(([oid, { critical }]) => critical && !known.includes(oid))
    const isUnmarked = isSimulated && extensions.get(SIMULATION_EXTENSION)?.critical !== true
    return [...unknown.map(([oid]) => `${name} ${oid}`), ...(isUnmarked ? [`${name} without the simulation mark`] : [])]
  })
  const wanted = isSimulated ? 'the simulation mark and no other' : 'none'
  return judge('chain.extension', wrong.length === 0, wanted, wrong.join(', ') || wanted)
}

function checkAlgorithms(chain: Chain): Check {
  const wrong = members(chain).flatMap(([name, certificate]) => {
    const wanted = certificate === chain.leaf ? 'P-384' : 'RSA-4096'
    const { kind } = certificate.publicKey
    return [
      ...(kind === wanted ? [] : [`${name} key ${kind}`]),
      ...(certificate.isPssSha384 ? [] : [`${name} signature`]),
    ]
  })
  const wanted = 'P-384 under RSA-4096, PSS SHA-384 salt 48'
  return judge('chain.algorithm', wrong.length === 0, wanted, wrong.join(', ') || wanted)
}

function checkExpired(chain: Chain, now: Date): Check {
  const ended = members(chain).filter(([, { notAfter }]) => !(now.getTime() <= notAfter.getTime()))
  const got = ended.map(([name, { notAfter }]) => `${name} until ${notAfter.toISOString()}`).join(', ')
  return judge('chain.expired', ended.length === 0, `valid at ${now.toISOString()}`, got || 'valid')
}

function checkNotYetValid(chain: Chain, now: Date): Check {
  const early = members(chain).filter(([, { notBefore }]) => !(now.getTime() >= notBefore.getTime()))
  const got = early.map(([name, { notBefore }]) => `${name} from ${notBefore.toISOString()}`).join(', ')
  return judge('chain.not-yet-valid', early.length === 0, `valid at ${now.toISOString()}`, got || 'valid')
}

/** A trusted root is pinned by the hash of all its bytes: its signature of itself would prove nothing more. */
async function checkSignatures({ leaf, intermediate, root, rootKey, anchor }: Chain): Promise<Check> {
  const intermediateKey = importIssuerKey(intermediate)
  const links = [
    ['leaf', leaf, intermediateKey],
    ['intermediate', intermediate, rootKey],
    ...(anchor === undefined ? [['root', root, rootKey] as const] : []),
  ] as const
  const good = await Promise.all(
    links.map(async ([, { signature, tbs }, issuerKey]) => verifyPss(await issuerKey, signature, tbs)),
  )
  const got = links.filter((_, i) => !good[i]).map(([name]) => `${name} is not`)
  return judge('chain.signature', got.length === 0, 'all signed by their issuers', got.join(', ') || 'all signed')
}
