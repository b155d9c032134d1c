/** How late a claim may be, so that a payer's refund never comes before it. Spec: spec/PAYMENT.md#unlock-window. Pure. */

/**
 * From handing a claim in to its block, at the worst: 120 s of waiting (spec/PAYMENT.md#outbox) with its fee raised every 30 s, taken
 * up once more after it was given up, and as long again for confirmations and an endpoint that lags by a minute.
 */
export const CLAIM_LEAD_SECONDS = 600

/** The last moment at which a claim of a channel that closes should be handed in, Unix seconds. */
export function latestClaimAt({ closeAt }: { readonly closeAt: number }): number {
  return closeAt - CLAIM_LEAD_SECONDS
}

/** Whether a payer who asked to close just after the chain was last seen could be refunded before a claim that begins now. */
export function isExposed({ unlockDelay }: { readonly unlockDelay: number }, unseenSeconds: number): boolean {
  return unseenSeconds > unlockDelay - CLAIM_LEAD_SECONDS
}
