/** Times of functions that take turns, so that a busy machine is busy for all of them. */

export interface Subject {
  readonly name: string
  run(): void | Promise<void>
}

export interface Times {
  readonly name: string
  readonly runs: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly bestMs: number
}

const WARM_UPS = 20
/** Runs of one subject before the next one's turn. */
const BLOCK = 10

export async function measure(subjects: readonly Subject[], runs: number): Promise<Times[]> {
  for (const { run } of subjects) for (let i = 0; i < WARM_UPS; i++) await run()
  const samples = subjects.map(() => [] as number[])
  for (let done = 0; done < runs; done += BLOCK) {
    for (const [i, { run }] of subjects.entries()) {
      for (let n = 0; n < BLOCK; n++) {
        const began = performance.now()
        await run()
        samples[i]?.push(performance.now() - began)
      }
    }
  }
  return subjects.map(({ name }, i) => summarise(name, samples[i] ?? []))
}

function summarise(name: string, samples: number[]): Times {
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return { name, runs: sorted.length, p50Ms: at(0.5), p95Ms: at(0.95), bestMs: at(0) }
}
