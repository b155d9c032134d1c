/** The certificate chains of TDX evidence: of the PCK, and of what signs the collateral. Reads and proves nothing. Pure. */
import { sha256, toHex } from '../../bytes.ts'
import { TrustedPodsError } from '../../errors.ts'
import type { CertificatePool, PooledCertificate } from './certificate-pool.ts'
import { type Pck, readPck } from './pck.ts'
import { readPemCertificates } from './pem.ts'
import type { TdxMaker, TdxRoot } from './roots.ts'

/** Leaf first, root last; at least two. */
export interface TdxChain {
  /** What findings call its leaf. */
  readonly name: string
  readonly leaf: PooledCertificate
  readonly certificates: readonly PooledCertificate[]
  readonly root: PooledCertificate
}

export interface PckChain extends TdxChain {
  readonly pck: Pck
  /** Who signed the leaf. */
  readonly issuer: PooledCertificate
}

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED */
export function readPckChain(pem: Uint8Array, pool: CertificatePool): PckChain {
  const chain = readChain('PCK', readPemCertificates(pem), pool)
  return { ...chain, pck: readPck(chain.leaf), issuer: chain.certificates[1] ?? chain.root }
}

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED */
export function readChain(name: string, ders: readonly Uint8Array[], pool: CertificatePool): TdxChain {
  const certificates = ders.map((der) => pool.read(der))
  const leaf = certificates[0]
  const root = certificates.at(-1)
  if (leaf === undefined || root === undefined || leaf === root) {
    throw new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', `${name} chain: expected 2 or more, got ${ders.length}`)
  }
  for (const [i, issuer] of certificates.slice(1).entries()) startVerification(certificates[i], issuer, pool)
  return { name, leaf, certificates, root }
}

/** The pool keeps what comes of it: threads verify while the rest is read. */
function startVerification(
  certificate: PooledCertificate | undefined,
  issuer: PooledCertificate,
  pool: CertificatePool,
) {
  if (certificate !== undefined) void pool.isSignedBy(certificate, issuer)
}

/** What vouches for the chains: one trusted root under all of them. */
export interface TdxAnchor {
  readonly fingerprint: string
  /** undefined: the root is not trusted, or there are several. */
  readonly maker: TdxMaker | undefined
}

export async function findAnchor(chains: readonly TdxChain[], roots: readonly TdxRoot[]): Promise<TdxAnchor> {
  const [root, ...others] = new Set(chains.map((chain) => chain.root))
  if (root === undefined || others.length > 0) return { fingerprint: 'several roots', maker: undefined }
  const fingerprint = toHex(await sha256(root.der))
  return { fingerprint, maker: roots.find((trusted) => trusted.fingerprint === fingerprint)?.maker }
}
