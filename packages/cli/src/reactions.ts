/** What happens to a pod whose provider proves itself no longer. */
export const REACTIONS = ['tell', 'stop'] as const
export type Reaction = (typeof REACTIONS)[number]

export interface Reactions {
  /** There is evidence, and the policy does not take it. */
  readonly refused: Reaction
  /** There is none, and the last that was accepted has ended. */
  readonly expired: Reaction
}

/** Nothing is ended that nobody asked to end. */
export const ONLY_TELL: Reactions = { refused: 'tell', expired: 'tell' }
