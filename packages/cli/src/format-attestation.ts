/** What a running pod's provider goes on to prove, as text and as JSON. Pure. */
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import type { AttestationNews } from '@trusted-pods/publisher/attestation-watch.ts'
import type { Colours } from './colours.ts'

/** One line, without the word before it. */
export function formatAttestation(news: AttestationNews, colours: Colours): string {
  switch (news.kind) {
    case 'proven': {
      const { evidenceType, tier, expiresAt } = news.verdict
      const proven = `proven until ${expiresAt.toISOString()} (${evidenceType}, ${tier})`
      const asGood = tier === 'affirming' ? colours.green : colours.yellow
      if (news.worse.length === 0) return asGood(proven)
      return colours.yellow(`worse than before, still accepted: ${news.worse.join('; ')}; ${proven}`)
    }
    case 'refused':
      return colours.red(`refused: ${boundText(news.error.message)}`)
    case 'unknown':
      return colours.yellow(`not told (${failureOf(news)}); proven until ${news.provenUntil.toISOString()}`)
    case 'expired':
      return colours.red(
        `not proven ${news.provenUntil ? `since ${news.provenUntil.toISOString()}` : 'so far'} (${failureOf(news)})`,
      )
  }
}

function failureOf({ error }: Extract<AttestationNews, { error: unknown }>): string {
  return `${error.code}: ${boundText(error.message)}`
}

export function attestationJson(news: AttestationNews) {
  const { kind } = news
  switch (kind) {
    case 'proven':
      return { kind, worse: news.worse, verdict: news.verdict }
    case 'refused':
      return { kind, failure: failureJson(news), ...(news.verdict && { verdict: news.verdict }) }
    case 'unknown':
    case 'expired':
      return { kind, failure: failureJson(news), ...(news.provenUntil && { provenUntil: news.provenUntil }) }
  }
}

function failureJson({ error: { code, message } }: Extract<AttestationNews, { error: unknown }>) {
  return { code, message: boundText(message) }
}
