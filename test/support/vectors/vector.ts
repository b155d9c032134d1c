/** Cases as evidence and options for the verifier. A folder is walked for every cases.json in it. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { create } from '@bufbuild/protobuf'
import type { AppraiseOptions } from '@trusted-pods/protocol/attestation/appraise.ts'
import type { Tier } from '@trusted-pods/protocol/attestation/checks.ts'
import { fromHex, sha256 } from '@trusted-pods/protocol/bytes.ts'
import { type Evidence, EvidenceSchema, StatementSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { type CaseEntry, type MutationEntry, mutationId, readCaseFile } from './case-file.ts'
import { toCasePolicy } from './case-policy.ts'
import type { HardwareCase } from './hardware-case.ts'
import { readSnpCase } from './snp-case.ts'
import { readTdxCase } from './tdx-case.ts'

export interface Vector {
  readonly id: string
  readonly kind: HardwareCase['kind']
  readonly evidence: Evidence
  readonly options: AppraiseOptions
  readonly expected: Tier
  /** Every one must be found. */
  readonly codes: readonly string[]
  /** One must be found; empty: none need be. */
  readonly anyOf: readonly string[]
  /** TDX: what Intel says of the platform; undefined: nothing is wanted. */
  readonly tcb?: { readonly status: string; readonly advisories?: readonly string[] }
  readonly isForeign: boolean
}

/** A case that cannot be made into evidence: it fails, and the others go on. */
export interface BrokenVector {
  readonly id: string
  readonly broken: string
}

export function isBroken(vector: Vector | BrokenVector): vector is BrokenVector {
  return 'broken' in vector
}

/** Every case and mutation below a folder, in the order of the paths. @throws where there is no such folder or a file is of another form. */
export async function readVectors(root: string): Promise<(Vector | BrokenVector)[]> {
  const entries = await readdir(root, { recursive: true })
  const paths = entries.filter((path) => path === 'cases.json' || path.endsWith('/cases.json')).sort()
  const vectors: (Vector | BrokenVector)[] = []
  for (const path of paths) vectors.push(...(await readFolder(join(root, path))))
  return vectors
}

async function readFolder(path: string): Promise<(Vector | BrokenVector)[]> {
  const { folder, cases, mutations } = await readCaseFile(path)
  const bases = new Map(cases.map((entry) => [entry.id, entry]))
  return [
    ...(await Promise.all(cases.map((entry) => orBroken(entry.id, () => toVector(entry, folder))))),
    ...(await Promise.all(mutations.map((entry) => orBroken(mutationId(entry), () => mutate(entry, bases, folder))))),
  ]
}

async function orBroken(id: string, make: () => Promise<Vector>): Promise<Vector | BrokenVector> {
  try {
    return await make()
  } catch (error) {
    return { id, broken: error instanceof Error ? error.message : String(error) }
  }
}

/** The case with one byte changed; its options stay, as the verifier knew them before. */
async function mutate(entry: MutationEntry, bases: ReadonlyMap<string, CaseEntry>, folder: string): Promise<Vector> {
  const base = bases.get(entry.base)
  if (!base) throw new TypeError(`there is no case ${entry.base}`)
  const vector = await toVector(base, folder)
  const report = vector.evidence.report.slice()
  if (entry.offset >= report.length) throw new TypeError(`offset ${entry.offset} of ${report.length} bytes`)
  report[entry.offset] = (report[entry.offset] ?? 0) ^ entry.xor
  const { expected } = entry
  const { tcb: _, ...rest } = vector
  return { ...rest, id: mutationId(entry), evidence: { ...vector.evidence, report }, expected, codes: [], anyOf: [] }
}

/** Nothing signs the statement of a vector: it only has to be whole. */
const EXPECTED = {
  nonce: new Uint8Array(32).fill(1),
  publisherPeerId: new Uint8Array(38).fill(2),
  providerPeerId: new Uint8Array(38).fill(3),
}

async function toVector(entry: CaseEntry, folder: string): Promise<Vector> {
  const given = toCasePolicy(entry.policy)
  const read = entry.quote === undefined ? readSnpCase : readTdxCase
  const { kind, parts, policy, anchors, reportData, isForeign } = await read(entry, folder, given)
  const empty = await sha256(new Uint8Array())
  const statement = create(StatementSchema, {
    ...EXPECTED,
    hpkePublicKey: new Uint8Array(32),
    meterAddress: new Uint8Array(20),
    evidenceType: kind,
    capacityDigest: empty,
    claimsDigest: empty,
  })
  const wanted = given.reportData === undefined ? reportData : fromHex(given.reportData)
  if (wanted === undefined) throw new TypeError('policy.reportData is no hex')
  return {
    id: entry.id,
    kind,
    evidence: create(EvidenceSchema, { statement, ...parts }),
    options: { policy, now: new Date(entry.now), expected: EXPECTED, reportData: wanted, ...(anchors && { anchors }) },
    expected: entry.expected,
    codes: entry.codes ?? (entry.code ? [entry.code] : []),
    anyOf: entry.codesAnyOf ?? [],
    ...(entry.expectedTcbStatus && {
      tcb: { status: entry.expectedTcbStatus, ...(entry.advisories && { advisories: entry.advisories }) },
    }),
    isForeign,
  }
}
