/** What a check says of itself, whatever it finds. Spec: spec/ATTESTATION.md#checks. Pure. */

export interface CheckText {
  /** What holds when the check passes. */
  readonly title: string
  /** Where the value comes from. */
  readonly source: string
  /** What the reader may do when it does not pass. */
  readonly advice: string
  /** It may end as a warning, so a policy may tolerate it. */
  readonly warns?: true
}
