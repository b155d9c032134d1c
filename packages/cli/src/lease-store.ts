/** Leases as files of mode 0600, one each: they hold what opens the images until the pod runs. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { hasCode } from '@trusted-pods/platform/error-code.ts'
import { loadSecret, storeSecret } from '@trusted-pods/platform/secret-file.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Receipt, ReceiptSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { ReceivedEvidence } from '@trusted-pods/publisher/attest.ts'
import { formatEvidenceFile, parseEvidenceFile } from '@trusted-pods/publisher/evidence-file.ts'
import type { Lease, LeaseStore, ReceiptStore } from '@trusted-pods/publisher/lease.ts'
import { leaseFromJson, leaseToJson } from '@trusted-pods/publisher/lease-json.ts'
import {
  summaryFromJson,
  summaryToJson,
  type VerdictStore,
  type VerdictSummary,
} from '@trusted-pods/publisher/verdict-summary.ts'

export interface LeaseFiles extends LeaseStore {
  /** The newest first; a file that cannot be read is told in `problems` and breaks nothing. */
  list(): Promise<{ leases: Lease[]; problems: string[] }>
  /** Of every file, also of one that cannot be read: what belongs to it is not abandoned. */
  ids(): Promise<string[]>
  /** By id, by a beginning of it of at least 4 digits, or by name where one lease alone that has not ended has it.
   * @throws TrustedPodsError STATUS_UNKNOWN_POD */
  find(reference: string): Promise<Lease>
  /** The one lease that has not ended. @throws TrustedPodsError STATUS_UNKNOWN_POD when there is none or more than one. */
  only(): Promise<Lease>
  /** What was saved last by this process; undefined: nothing. */
  readonly lastSaved: Lease | undefined
  readonly receipts: ReceiptStore
  readonly verdicts: VerdictStore
  readonly evidence: SideFiles<ReceivedEvidence>
}

const SUFFIX = '.json'
const RECEIPT_SUFFIX = '.receipt'
const VERDICT_SUFFIX = '.verdict'
const EVIDENCE_SUFFIX = '.evidence'
const LEAST_PREFIX = 4

export function openLeaseFiles(folder: string): LeaseFiles {
  let lastSaved: Lease | undefined
  const list = () => readAll(folder)
  return {
    get lastSaved() {
      return lastSaved
    },
    async save(lease) {
      await storeSecret(join(folder, `${lease.id}${SUFFIX}`), new TextEncoder().encode(leaseToJson(lease)))
      lastSaved = lease
    },
    list,
    ids: async () => (await namesIn(folder)).map((name) => name.slice(0, -SUFFIX.length)),
    find: async (reference) => pick(await list(), reference),
    only: async () => pickOnly(await list()),
    receipts: sideFiles(folder, RECEIPT_SUFFIX, RECEIPTS),
    verdicts: sideFiles(folder, VERDICT_SUFFIX, VERDICTS),
    evidence: sideFiles(folder, EVIDENCE_SUFFIX, EVIDENCE),
  }
}

/** What is kept beside the leases, one file of each kind for each lease. */
interface SideFiles<T> {
  /** undefined: none was kept, or it is damaged. */
  load(leaseId: string): Promise<T | undefined>
  save(leaseId: string, value: T): Promise<void>
}

interface Coding<T> {
  encode(value: T): Uint8Array
  /** undefined where it is damaged. */
  decode(bytes: Uint8Array): T | undefined
}

function sideFiles<T>(folder: string, suffix: string, { encode, decode }: Coding<T>): SideFiles<T> {
  const path = (leaseId: string) => join(folder, `${leaseId}${suffix}`)
  return {
    async load(leaseId) {
      const bytes = await loadSecret(path(leaseId))
      return bytes && decode(bytes)
    },
    save: (leaseId, value) => storeSecret(path(leaseId), encode(value)),
  }
}

const RECEIPTS: Coding<Receipt> = { encode: (receipt) => toBinary(ReceiptSchema, receipt), decode: decodeReceipt }
const VERDICTS: Coding<VerdictSummary> = {
  encode: (summary) => new TextEncoder().encode(summaryToJson(summary)),
  decode: (bytes) => summaryFromJson(new TextDecoder().decode(bytes)),
}
const EVIDENCE: Coding<ReceivedEvidence> = {
  encode: (received) => new TextEncoder().encode(formatEvidenceFile(received)),
  decode: decodeEvidence,
}

function decodeEvidence(bytes: Uint8Array): ReceivedEvidence | undefined {
  try {
    return parseEvidenceFile(new TextDecoder().decode(bytes))
  } catch (error) {
    // What was damaged on our disk proves nothing: the receipt that it belongs to holds or not without it.
    if (error instanceof TrustedPodsError) return undefined
    throw error
  }
}

function decodeReceipt(bytes: Uint8Array): Receipt | undefined {
  try {
    return fromBinary(ReceiptSchema, new Uint8Array(bytes))
  } catch {
    // What was damaged on our disk proves nothing against a provider; the next receipt takes its place.
    return undefined
  }
}

interface Listed {
  readonly leases: readonly Lease[]
  readonly problems: readonly string[]
}

async function readAll(folder: string): Promise<{ leases: Lease[]; problems: string[] }> {
  const leases: Lease[] = []
  const problems: string[] = []
  for (const name of await namesIn(folder)) {
    const path = join(folder, name)
    try {
      const bytes = await loadSecret(path)
      if (bytes) leases.push(leaseFromJson(new TextDecoder().decode(bytes)))
    } catch (error) {
      problems.push(error instanceof TrustedPodsError ? `${path}: ${error.message}` : `${path} cannot be read`)
    }
  }
  leases.sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime())
  return { leases, problems }
}

/** Temporary files of a write that was cut off have another ending. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => name.endsWith(SUFFIX))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  }
}

function pick({ leases, problems }: Listed, reference: string): Lease {
  const isPrefix = /^[0-9a-f]+$/.test(reference) && reference.length >= LEAST_PREFIX
  const byId = isPrefix ? leases.filter(({ id }) => id.startsWith(reference)) : []
  const byName = leases.filter(({ name, kind }) => name === reference && kind !== 'ended')
  const called = reference.slice(0, 64)
  return requireOne(byId.length > 0 ? byId : byName, {
    none: `there is no lease ${called} on this machine${unread(problems)}`,
    many: `are called ${called}`,
  })
}

function pickOnly({ leases, problems }: Listed): Lease {
  const live = leases.filter(({ kind }) => kind !== 'ended')
  const none = `there is no lease on this machine that has not ended${unread(problems)}`
  return requireOne(live, { none, many: 'have not ended' })
}

/** A file that cannot be read may be the one that is sought. */
function unread(problems: readonly string[]): string {
  return problems.length === 0 ? '' : `, as far as its files can be read: ${problems.join('; ')}`
}

function requireOne(found: readonly Lease[], { none, many }: { none: string; many: string }): Lease {
  const [lease, ...others] = found
  if (!lease) throw new TrustedPodsError('STATUS_UNKNOWN_POD', none)
  if (others.length === 0) return lease
  const ids = found.map(({ id }) => id.slice(0, 12)).join(', ')
  throw new TrustedPodsError('STATUS_UNKNOWN_POD', `${found.length} leases ${many}: ${ids}; name one by its id`)
}
