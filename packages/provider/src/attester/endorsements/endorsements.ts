/** All that is stapled to a report or quote so that a verifier needs no third party. Spec: spec/ATTESTATION.md#attester. */
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Attester } from '../attester.ts'
import type { CertificateTable } from '../certificate-table.ts'
import { type CacheOptions, DocumentCache } from './document-cache.ts'
import { KDS_URL } from './kds.ts'
import { PCS_URL, ROOT_CRL_URL } from './pcs.ts'
import { stapleSnp } from './snp-endorsements.ts'
import type { EndorsementUrls, Stapled } from './stapled.ts'
import { stapleTdx } from './tdx-endorsements.ts'

export const ENDORSEMENT_URLS: EndorsementUrls = { kds: KDS_URL, pcs: PCS_URL, intelRootCrl: ROOT_CRL_URL }

export interface Endorsements extends AsyncDisposable {
  /** @throws TrustedPodsError ATTEST_UNAVAILABLE where something is missing without which no verifier can judge. */
  staple(report: Uint8Array, options: { type: Attester['evidenceType']; table?: CertificateTable }): Promise<Stapled>
}

export interface EndorsementOptions extends Omit<CacheOptions, 'log'> {
  readonly log: Logger
  readonly urls?: EndorsementUrls
}

export function openEndorsements({ urls = ENDORSEMENT_URLS, ...options }: EndorsementOptions): Endorsements {
  const cache = new DocumentCache(options)
  return {
    staple: (report, { type, table = {} }) =>
      type === 'snp' ? stapleSnp(report, { cache, table, base: urls.kds }) : stapleTdx(report, { cache, urls }),
    [Symbol.asyncDispose]: () => cache[Symbol.asyncDispose](),
  }
}
