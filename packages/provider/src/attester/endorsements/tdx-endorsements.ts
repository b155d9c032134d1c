/** Collateral and lists for a TDX quote, from Intel or a mirror of it. */
import { QE_IDENTITY, TCB_INFO } from '@trusted-pods/protocol/attestation/tdx/collateral.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Document } from './document.ts'
import type { DocumentCache } from './document-cache.ts'
import { pckCrlRequest, qeIdentityRequest, readPlatformFacts, rootCrlRequest, tcbInfoRequest } from './pcs.ts'
import type { EndorsementUrls, Stapled } from './stapled.ts'

/** @throws TrustedPodsError ATTEST_UNAVAILABLE without TCB info or QE identity: nobody could judge. */
export async function stapleTdx(
  quote: Uint8Array,
  { cache, urls }: { cache: DocumentCache; urls: Pick<EndorsementUrls, 'pcs' | 'intelRootCrl'> },
): Promise<Stapled> {
  const facts = readPlatformFacts(quote)
  const [tcbInfo, qeIdentity, rootList, pckList] = await Promise.all([
    cache.get(tcbInfoRequest(urls.pcs, facts.fmspc)),
    cache.get(qeIdentityRequest(urls.pcs)),
    cache.get(rootCrlRequest(urls.intelRootCrl, facts)),
    cache.get(pckCrlRequest(urls.pcs, facts)),
  ])
  return {
    certificates: [],
    crls: [rootList, pckList].flatMap((list) => list?.parts ?? []),
    collateral: [toCollateral(TCB_INFO, tcbInfo), toCollateral(QE_IDENTITY, qeIdentity)],
  }
}

function toCollateral(kind: string, document: Document | undefined): Stapled['collateral'][number] {
  const [body, signature, ...certificates] = document?.parts ?? []
  if (body && signature) return { kind, body, signature, certificates }
  throw new TrustedPodsError('ATTEST_UNAVAILABLE', `there is no ${kind} for this platform; it is fetched again later`)
}
