/** Certificates of one appraisal: each is read, its key imported and each signature verified once, however often it comes. Pure. */
import { equalBytes } from '../../bytes.ts'
import { type Certificate, parseCertificate } from '../x509.ts'
import { importP256, type P256Key, verifyDerP256 } from './p256.ts'

export interface PooledCertificate extends Certificate {
  readonly der: Uint8Array
  readonly key: P256Key
}

export class CertificatePool {
  readonly #held: PooledCertificate[] = []
  readonly #links = new Map<PooledCertificate, Map<PooledCertificate, Promise<boolean>>>()

  /** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED */
  read(der: Uint8Array): PooledCertificate {
    const known = this.#held.find((held) => equalBytes(held.der, der))
    if (known !== undefined) return known
    const certificate = parseCertificate(der)
    const { kind, bits } = certificate.publicKey
    const key = kind === 'P-256' ? importP256(bits) : Promise.resolve(undefined)
    const held = { ...certificate, der, key }
    this.#held.push(held)
    return held
  }

  /** Whether the issuer's key signed the certificate. */
  isSignedBy(certificate: PooledCertificate, issuer: PooledCertificate): Promise<boolean> {
    const links = this.#links.get(certificate) ?? new Map<PooledCertificate, Promise<boolean>>()
    this.#links.set(certificate, links)
    const known = links.get(issuer)
    if (known !== undefined) return known
    const link = verifyDerP256(issuer.key, certificate.signature, certificate.tbs)
    links.set(issuer, link)
    return link
  }
}
