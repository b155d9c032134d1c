/** An SNP case as the verifier's input. */
import type { TrustAnchors } from '@trusted-pods/protocol/attestation/appraise.ts'
import { AMD_ROOTS, type TrustedRoot } from '@trusted-pods/protocol/attestation/snp/roots.ts'
import { SNP_PRODUCTS } from '@trusted-pods/protocol/attestation/snp/tcb.ts'
import { parseCertificate } from '@trusted-pods/protocol/attestation/x509.ts'
import { sha256, toHex } from '@trusted-pods/protocol/bytes.ts'
import { type CaseEntry, readBytes } from './case-file.ts'
import { type CasePolicy, snpCasePolicy } from './case-policy.ts'
import type { HardwareCase } from './hardware-case.ts'

export async function readSnpCase(entry: CaseEntry, folder: string, given: CasePolicy): Promise<HardwareCase> {
  const { report, endorsement, intermediate, root, crl } = entry
  if (report === undefined) throw new TypeError('neither a report nor a quote is named')
  const paths = [endorsement, intermediate, root].filter((path) => path !== undefined && path !== null)
  const lists = typeof crl === 'string' ? [crl] : (crl ?? [])
  const reportBytes = await readBytes(folder, report)
  const anchor = entry.trustedRoot === undefined ? undefined : await readRoot(folder, entry.trustedRoot)
  return {
    kind: 'snp',
    parts: {
      report: reportBytes,
      certificates: await Promise.all(paths.map((path) => readBytes(folder, path))),
      crls: await Promise.all(lists.map((path) => readBytes(folder, path))),
    },
    policy: snpCasePolicy(given, reportBytes),
    ...(anchor && { anchors: { snp: [anchor], tdx: [] } satisfies TrustAnchors }),
    reportData: reportBytes.slice(0x50, 0x90),
    isForeign: anchor !== undefined && !AMD_ROOTS.includes(anchor),
  }
}

/** The pinned root that it is, or an anchor for the line in its name. */
async function readRoot(folder: string, path: string): Promise<TrustedRoot> {
  const der = await readBytes(folder, path)
  const fingerprint = toHex(await sha256(der))
  const pinned = AMD_ROOTS.find((root) => root.fingerprint === fingerprint)
  if (pinned) return pinned
  const { commonName } = parseCertificate(der).subject
  const product = SNP_PRODUCTS.find((line) => commonName === `ARK-${line}`)
  if (!product) throw new TypeError(`the root ${path} is of ${commonName}: no processor line`)
  return { fingerprint, product }
}
