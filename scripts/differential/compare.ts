/** Two verifiers on the same vector: what each says in one line, and whether each difference is explained. Pure. */
import type { Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import type { Answer } from './dcap-qvl.ts'

/** What the two say, for instance `refused, UpToDate`. */
export interface Difference {
  readonly id: string
  readonly ours: string
  readonly theirs: string
}

/** undefined: they agree. */
export function findDifference(id: string, verdict: Verdict, answer: Answer): Difference | undefined {
  const ours = [isRefused(verdict) ? 'refused' : 'accepted', tellOwnTcb(verdict)]
  const theirs = [isAccepted(answer) ? 'accepted' : 'refused', tellTcb(answer, verdict) ?? ours[1]]
  const difference = { id, ours: ours.join(', '), theirs: theirs.join(', ') }
  return difference.ours === difference.theirs ? undefined : difference
}

export interface Comparison {
  readonly unexplained: readonly Difference[]
  /** Explanations of what is no difference, or another one. */
  readonly stale: readonly Difference[]
}

export function compare(found: readonly Difference[], explained: readonly Difference[]): Comparison {
  const lacks = (list: readonly Difference[]) => (wanted: Difference) => !list.some((item) => isSame(item, wanted))
  return { unexplained: found.filter(lacks(explained)), stale: explained.filter(lacks(found)) }
}

function isSame(a: Difference, b: Difference): boolean {
  return a.id === b.id && a.ours === b.ours && a.theirs === b.theirs
}

/** What two verifiers refuse together is refused twice; what only ours accepts is either explained or a hole. */
export function isAcceptedByUsAlone(verdict: Verdict, answer: Answer): boolean {
  return !isRefused(verdict) && !isAccepted(answer)
}

function isRefused({ tier }: Verdict): boolean {
  return tier === 'contraindicated' || tier === 'none'
}

/** It leaves the choice to its caller, who by our default policy takes nothing that is out of date. */
function isAccepted(answer: Answer): boolean {
  return 'status' in answer && !answer.status.startsWith('OutOfDate')
}

const NO_LEVEL = 'no level'

function tellOwnTcb({ tcb }: Verdict): string {
  return tcb === undefined ? NO_LEVEL : [tcb.status, ...tcb.advisories].join(' ')
}

/** Two of its errors are about levels, and name no advisories; undefined: it said nothing of them, or the same as we. */
function tellTcb(answer: Answer, { tcb }: Verdict): string | undefined {
  if ('status' in answer) return [answer.status, ...answer.advisories.toSorted()].join(' ')
  if (answer.refusal === 'TCB status is invalid: Revoked') return tcb?.status === 'Revoked' ? undefined : 'Revoked'
  return answer.refusal === 'No matching TCB level found' ? NO_LEVEL : undefined
}
