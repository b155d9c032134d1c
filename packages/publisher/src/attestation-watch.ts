/**
 * Attests the provider of a running pod again, before what it proved last ends, and tells what has become of it. A provider
 * that cannot be asked is unknown, not refused. Spec: spec/ATTESTATION.md#long-life.
 */
import type { Libp2p } from '@libp2p/interface'
import { worstTier } from '@trusted-pods/protocol/attestation/checks.ts'
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import { isAccepted, type Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { attest, refusedVerdict } from './attest.ts'
import { dial } from './dial.ts'
import type { LeaseFacts } from './lease.ts'
import { isLostConnection } from './reconnect.ts'
import type { Relocate } from './relocate.ts'
import { summarize, type VerdictStore, type VerdictSummary, worsened } from './verdict-summary.ts'
import { waitMs } from './wait.ts'

/** What the publisher knows of the machine that its pod runs on. */
export type AttestationNews =
  /** The policy takes the evidence. `worse`: in what it was better before; mostly nothing. */
  | { readonly kind: 'proven'; readonly verdict: Verdict; readonly worse: readonly string[] }
  /** There is evidence, and the policy does not take it. */
  | { readonly kind: 'refused'; readonly error: TrustedPodsError; readonly verdict?: Verdict }
  /** No evidence could be had; what was proven last holds until then. */
  | { readonly kind: 'unknown'; readonly error: TrustedPodsError; readonly provenUntil: Date }
  /** No evidence could be had, and nothing that was proven holds any more. */
  | { readonly kind: 'expired'; readonly error: TrustedPodsError; readonly provenUntil?: Date }

export interface AttestationWatchOptions {
  policy: Policy
  /** Remembers between runs; without it only what happens within one run is compared. */
  verdicts?: VerdictStore
  /** Go on for as long as the signal lets; otherwise one news is all. */
  follow?: boolean
  /** Where the provider is now, when it does not answer where it was. */
  relocate?: Relocate
  signal?: AbortSignal
}

/** Of the time that a verdict holds, the part after which a new one is asked for: the rest is for tries that fail. */
const RENEW_AFTER = 0.8
/** While a provider does not prove itself. */
const RETRY_MS = 30_000
/** 60 s: clocks are set right by less than this all the time. */
const CLOCK_TOLERANCE_MS = 60_000
/** Shorter lives of verdicts than a policy can ask for would otherwise keep both sides busy. */
const MIN_PAUSE_MS = 1_000

/** The news in order; the same news is told once, except that each new verdict is told. */
export async function* watchAttestation(
  node: Libp2p,
  lease: LeaseFacts,
  options: AttestationWatchOptions,
): AsyncGenerator<AttestationNews> {
  const { verdicts, follow = false, signal } = options
  let known = await verdicts?.load(lease.id)
  let told: AttestationNews | undefined
  for (;;) {
    const news = await reattest(node, lease, { ...options, known })
    if (news.kind === 'proven') {
      known = summarize(news.verdict)
      await verdicts?.save(lease.id, known)
    }
    if (!isSame(news, told)) yield news
    told = news
    if (!follow) return
    await waitMs(pauseMs(news, Date.now()), signal ? { signal } : {})
  }
}

async function reattest(
  node: Libp2p,
  lease: LeaseFacts,
  { policy, known, relocate, signal }: AttestationWatchOptions & { known: VerdictSummary | undefined },
): Promise<AttestationNews> {
  try {
    await using peer = await dial(node, lease.provider, { ...(relocate && { relocate }), ...(signal && { signal }) })
    const { platformIds } = lease.provider
    const { verdict, meter } = await attest(peer, policy, { platformIds, ...(signal && { signal }) })
    if (meter !== lease.channel.terms.meter) throw otherMeter(meter, lease)
    return { kind: 'proven', verdict, worse: known ? worsened(known, summarize(verdict)) : [] }
  } catch (error) {
    signal?.throwIfAborted()
    if (!(error instanceof TrustedPodsError)) throw error
    const verdict = refusedVerdict(error)
    if (isRefused(error) && !(verdict && isOnlyLate(verdict, policy))) {
      return { kind: 'refused', error, ...(verdict && { verdict }) }
    }
    const provenUntil = known && endOf(known, policy)
    if (provenUntil && holds(known, provenUntil)) return { kind: 'unknown', error, provenUntil }
    return { kind: 'expired', error, ...(provenUntil && { provenUntil }) }
  }
}

/** By the policy of today: it may give verdicts less time than the one by which this was accepted. */
function endOf({ verifiedAt, expiresAt }: VerdictSummary, { freshness: { verdictMinutes } }: Policy): Date {
  return new Date(Math.min(expiresAt.getTime(), verifiedAt.getTime() + verdictMinutes * 60_000))
}

/** Nothing holds by a clock that was set back to before it was proven: it would hold for ever. */
function holds({ verifiedAt }: VerdictSummary, until: Date): boolean {
  const now = Date.now()
  return verifiedAt.getTime() - CLOCK_TOLERANCE_MS <= now && now < until.getTime()
}

/** Our own finding about evidence that came. What the provider says instead of evidence proves nothing either way. */
function isRefused(error: TrustedPodsError): boolean {
  return error.code.startsWith('ATTEST_') && !error.remote && !isLostConnection(error)
}

/** Whoever can slow our connection down can make good evidence late. */
function isOnlyLate({ checks, ...verdict }: Verdict, policy: Policy): boolean {
  const others = checks.filter(({ code }) => code !== 'binding.stale')
  return isAccepted({ ...verdict, checks: others, tier: worstTier(others) }, policy)
}

/** The channel is with the stack that was attested first: its receipts are signed by that meter. */
function otherMeter(meter: string, { channel }: LeaseFacts): TrustedPodsError {
  return new TrustedPodsError(
    'ATTEST_REFUSED',
    `the provider attests the meter ${meter}, the channel of this pod was opened for ${channel.terms.meter}`,
  )
}

function isSame(news: AttestationNews, told: AttestationNews | undefined): boolean {
  if (news.kind === 'proven' || told?.kind !== news.kind) return false
  return news.kind !== 'refused' || told.kind !== 'refused' || news.error.message === told.error.message
}

function pauseMs(news: AttestationNews, now: number): number {
  switch (news.kind) {
    case 'proven':
      return Math.max(MIN_PAUSE_MS, (news.verdict.expiresAt.getTime() - now) * RENEW_AFTER)
    case 'unknown':
      return Math.max(MIN_PAUSE_MS, Math.min(RETRY_MS, news.provenUntil.getTime() - now))
    case 'refused':
    case 'expired':
      return RETRY_MS
  }
}
