/** One change of a vector's evidence, chosen by the seed. Parts are named, so that a finding can be read. */
import { create } from '@bufbuild/protobuf'
import { type Evidence, EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import type { Vector } from '../vectors/vector.ts'
import { BYTES_MUTATIONS, type BytesMutation } from './mutate-bytes.ts'
import { DER_MUTATIONS } from './mutate-der.ts'
import { MUTATE_PEM } from './mutate-pem.ts'
import type { Random } from './random.ts'

export interface Mutated {
  readonly evidence: Evidence
  /** `certificate 1: a wrong length`. */
  readonly change: string
}

/** A part of evidence that can be put another in the place of. */
interface Part {
  readonly name: string
  /** Parts of one kind may change places between vectors. */
  readonly kind: 'report' | 'certificate' | 'crl' | 'json' | 'signature' | 'log'
  readonly bytes: Uint8Array
  replace(evidence: Evidence, bytes: Uint8Array): void
}

export function mutateEvidence(vector: Vector, others: readonly Vector[], random: Random): Mutated {
  const evidence = copy(vector.evidence)
  const parts = partsOf(evidence)
  const how = random.below(100)
  if (how < 12) return { evidence, change: swapPart(evidence, random.pick(others).evidence, random) }
  if (how < 18) return { evidence, change: changeLists(evidence, random) }
  const part = random.pick(parts)
  const [name, mutate] = pickMutation(part, random)
  part.replace(evidence, mutate(part.bytes, random))
  // Sometimes a second change, so that one refusal does not hide what comes after it.
  if (how >= 90) {
    const second = random.pick(partsOf(evidence))
    const [secondName, mutateSecond] = pickMutation(second, random)
    second.replace(evidence, mutateSecond(second.bytes, random))
    return { evidence, change: `${part.name}: ${name}; ${second.name}: ${secondName}` }
  }
  return { evidence, change: `${part.name}: ${name}` }
}

function pickMutation({ kind, bytes }: Part, random: Random): [string, BytesMutation] {
  const isDer = kind === 'certificate' || kind === 'crl'
  if (isDer && random.below(3) > 0) return random.pick(Object.entries(DER_MUTATIONS))
  if (kind === 'report' && bytes.length > 2000 && random.below(4) === 0)
    return ['a changed PEM certificate', MUTATE_PEM]
  return random.pick(Object.entries<BytesMutation>(BYTES_MUTATIONS))
}

function copy(evidence: Evidence): Evidence {
  const { statement, report, certificates, crls, capacityResponse, claims, collateral, eventLog } = evidence
  return create(EvidenceSchema, {
    ...(statement && { statement }),
    report,
    certificates: [...certificates],
    crls: [...crls],
    capacityResponse,
    claims,
    collateral: collateral.map((item) => ({ ...item, certificates: [...item.certificates] })),
    ...(eventLog && { eventLog: { ...eventLog } }),
  })
}

function partsOf(evidence: Evidence): Part[] {
  const setReport: Part['replace'] = (held, bytes) => {
    held.report = bytes
  }
  const parts: Part[] = [{ name: 'report', kind: 'report', bytes: evidence.report, replace: setReport }]
  const list = (kind: Part['kind'], name: string, of: (held: Evidence) => Uint8Array[]) => {
    of(evidence).forEach((bytes, i) => {
      const replace: Part['replace'] = (held, changed) => {
        of(held)[i] = changed
      }
      parts.push({ name: `${name} ${i}`, kind, bytes, replace })
    })
  }
  list('certificate', 'certificate', (held) => held.certificates)
  list('crl', 'revocation list', (held) => held.crls)
  evidence.collateral.forEach((item, i) => {
    const { kind, body, signature } = item
    parts.push({
      name: kind,
      kind: 'json',
      bytes: body,
      replace: (held, bytes) => setCollateral(held, i, 'body', bytes),
    })
    parts.push({
      name: `signature of ${kind}`,
      kind: 'signature',
      bytes: signature,
      replace: (held, bytes) => setCollateral(held, i, 'signature', bytes),
    })
    list('certificate', `certificate of ${kind}`, (held) => held.collateral[i]?.certificates ?? [])
  })
  return parts
}

function setCollateral(evidence: Evidence, at: number, field: 'body' | 'signature', bytes: Uint8Array): void {
  const item = evidence.collateral[at]
  if (item) item[field] = bytes
}

/** A genuine part of one vector in the place of that of another. */
function swapPart(evidence: Evidence, other: Evidence, random: Random): string {
  const theirs = random.pick(partsOf(other))
  const ours = partsOf(evidence).filter(({ kind }) => kind === theirs.kind)
  if (ours.length === 0) return `nothing in the place of ${theirs.name}`
  const part = random.pick(ours)
  part.replace(evidence, theirs.bytes)
  return `${part.name}: ${theirs.name} of another vector`
}

/** Parts left out, doubled, in another order. */
function changeLists(evidence: Evidence, random: Random): string {
  const lists = [
    evidence.certificates,
    evidence.crls,
    evidence.collateral,
    ...evidence.collateral.map((c) => c.certificates),
  ]
  const list: unknown[] = random.pick(lists.filter(({ length }) => length > 0))
  const at = random.below(list.length)
  switch (random.below(4)) {
    case 0:
      list.splice(at, 1)
      return 'a part left out'
    case 1:
      list.push(list[at])
      return 'a part twice'
    case 2:
      list.reverse()
      return 'parts in another order'
    default:
      list.push(...Array.from({ length: 20 }, () => list[at]))
      return 'a part many times'
  }
}
