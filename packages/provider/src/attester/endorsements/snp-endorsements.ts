/** Certificates and lists for an SNP report: from the host's certificate table where they fit, else from AMD. */

import { readEndorsement } from '@trusted-pods/protocol/attestation/snp/endorsement.ts'
import type { EndorsementKind } from '@trusted-pods/protocol/attestation/snp/policy.ts'
import { productByCpuid, productByName } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { parseSnpReport, SIGNING_KEY, type SnpReport } from '@trusted-pods/protocol/attestation/snp/report.ts'
import type { HardwareProduct } from '@trusted-pods/protocol/attestation/snp/tcb.ts'
import { parseCertificate } from '@trusted-pods/protocol/attestation/x509.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { CertificateTable } from '../certificate-table.ts'
import type { DocumentCache } from './document-cache.ts'
import { chainRequest, crlRequest, isVcekOf, vcekRequest } from './kds.ts'
import type { Stapled } from './stapled.ts'

export interface SnpSources {
  readonly cache: DocumentCache
  readonly table: CertificateTable
  /** Base URL of the key distribution service. */
  readonly base: string
}

/** @throws TrustedPodsError ATTEST_UNAVAILABLE where no certificate of the signing key or no chain can be had. */
export async function stapleSnp(raw: Uint8Array, { cache, table, base }: SnpSources): Promise<Stapled> {
  const report = parseSnpReport(raw)
  const kind: EndorsementKind = ((report.keyInfo >>> 2) & 7) === SIGNING_KEY.vlek ? 'vlek' : 'vcek'
  const held = table[kind]
  const product = findProduct(report, held)
  const leaf = kind === 'vlek' ? held : await findVcek(report, product, { cache, table, base })
  if (leaf === undefined) throw unavailable(`no ${kind.toUpperCase()} certificate for this chip and firmware`)
  const { intermediate, root } = await findChain(product, kind, { cache, table, base })
  const list = await cache.get(crlRequest(base, { product, kind, root }))
  return { certificates: [leaf, intermediate, root], crls: [...(list?.parts ?? [])], collateral: [] }
}

/** By CPUID; a version 2 report has none, so by what its certificate says. */
function findProduct(report: SnpReport, held: Uint8Array | undefined): HardwareProduct {
  const product = productByCpuid(report) ?? (held && productByName(readEndorsement(parseCertificate(held)).productName))
  if (product !== undefined && product !== 'Simulated') return product
  throw unavailable(`a report of version ${report.version} from a processor line that is not known`)
}

/** The host's, unless it is of other firmware: a host may forget to renew it after an update. */
async function findVcek(
  report: SnpReport,
  product: HardwareProduct,
  { cache, table: { vcek }, base }: SnpSources,
): Promise<Uint8Array | undefined> {
  if (vcek !== undefined && fits(vcek, report, product)) return vcek
  const [fetched] = (await cache.get(vcekRequest(base, report, product)))?.parts ?? []
  return fetched
}

function fits(der: Uint8Array, report: SnpReport, product: HardwareProduct): boolean {
  try {
    return isVcekOf(der, report, product)
  } catch (error) {
    if (error instanceof TrustedPodsError) return false
    throw error
  }
}

async function findChain(product: HardwareProduct, kind: EndorsementKind, { cache, table, base }: SnpSources) {
  if (table.ask && table.ark) return { intermediate: table.ask, root: table.ark }
  const [intermediate, root] = (await cache.get(chainRequest(base, product, kind)))?.parts ?? []
  if (intermediate && root) return { intermediate, root }
  throw unavailable(`no certificate chain for ${product}`)
}

function unavailable(got: string): TrustedPodsError {
  return new TrustedPodsError('ATTEST_UNAVAILABLE', `there is ${got}; it is fetched again later`)
}
