/** One fault: source text and what takes its place. The text must occur exactly once in its file. */
export type Mutant = readonly [from: string, to: string]
