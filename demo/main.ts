/**
 * npm run demo: a provider and a publisher on this machine, every part real but the TEE, which is simulated. From an empty
 * machine to a running, paid pod and back to nothing. `-- --keep` leaves it running.
 */
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cleanUp } from './clean-up.ts'
import { demoPlaces } from './places.ts'
import { openStage } from './stage.ts'
import { runStory } from './story.ts'

const places = demoPlaces(dirname(dirname(fileURLToPath(import.meta.url))))
const pidFile = join(places.folder, 'demo.pid')
const stage = openStage(process.stdout)
const keep = process.argv.includes('--keep')

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(name, () => stop.abort(new Error(`interrupted by ${name}`)))

await requireAlone()
const failure = await tell().then(
  () => undefined,
  (error: unknown) => error ?? new Error('failed'),
)
if (keep && failure === undefined) process.exit(0)
process.exit(await end(failure))

async function tell(): Promise<void> {
  if (existsSync(places.folder)) {
    stage.step('Clean up what an earlier run left')
    const left = await stage.waiting('it to end', cleanUp(places, stage))
    if (left.length > 0) throw new Error(`an earlier run left ${left.join(', ')}`)
  }
  await mkdir(places.folder, { recursive: true, mode: 0o700 })
  await writeFile(pidFile, `${process.pid}`)
  await runStory({ places, stage, keep, signal: stop.signal })
}

/** Exit status: 0 when the story was told and nothing is left. */
async function end(failure: unknown): Promise<number> {
  const interrupted = stop.signal.aborted
  if (failure !== undefined) stage.say(`\n✘ ${interrupted ? 'interrupted' : wordsOf(failure)}`)
  stage.step('Clean up')
  const left = await stage
    .waiting('processes and containers to end', cleanUp(places, stage))
    .catch((error) => [`${places.folder}: ${wordsOf(error)}`])
  for (const thing of left) stage.say(`✘ left over: ${thing}`)
  if (left.length === 0) stage.say('✔ nothing of the demo is left: no container, network, volume, process or folder')
  else stage.say('the next npm run demo cleans it up')
  if (interrupted) return 130
  return failure === undefined && left.length === 0 ? 0 : 1
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Two demos at once would share names and folders. */
async function requireAlone(): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => '0'))
  const command = pid > 0 && pid !== process.pid ? await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '') : ''
  if (!command.includes('demo/main.ts')) return
  process.stderr.write(`another demo runs already (process ${pid}): stop it first\n`)
  process.exit(1)
}
