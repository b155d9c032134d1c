/** What the demo tells a person: numbered steps, what it is waiting for, and results. */

export interface Stage {
  /** Begins a numbered step. */
  step(title: string): void
  say(text: string): void
  /** Tells what is waited for, and again how long once it takes more than a few seconds. */
  waiting<T>(what: string, work: Promise<T>): Promise<T>
}

const REMIND_MS = 5_000

export function openStage(output: NodeJS.WriteStream): Stage {
  const bold = (text: string) => (output.isTTY && !process.env.NO_COLOR ? `\x1b[1m${text}\x1b[0m` : text)
  const began = performance.now()
  const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`.padStart(7)
  let number = 0
  const say = (text: string) => void output.write(`${text.replace(/^/gm, '   ')}\n`)
  return {
    step(title) {
      number++
      output.write(`\n${bold(`${number}. ${title}`)}  ${seconds()}\n`)
    },
    say,
    async waiting(what, work) {
      const since = performance.now()
      const timer = setInterval(
        () => say(`still waiting for ${what} (${Math.round((performance.now() - since) / 1000)} s)`),
        REMIND_MS,
      )
      try {
        return await work
      } finally {
        clearInterval(timer)
      }
    },
  }
}
