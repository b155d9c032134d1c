/**
 * How fast images are encrypted, opened, stored and moved, beside skopeo, Kubo, OpenSSL and a plain TCP copy, in one run.
 * main.ts [--layers 4] [--mib 250] [--rounds 3] [--folder /tmp/bench-images] [--json]. Nothing is asserted: read the ratios.
 */
import { execFileSync, spawn } from 'node:child_process'
import { createCipheriv, createHash, createHmac, generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { layerFiles, makeImage } from './image.ts'
import { warmMemory } from './warm-memory.ts'

const { values } = parseArgs({
  options: {
    layers: { type: 'string', default: '4' },
    mib: { type: 'string', default: '250' },
    rounds: { type: 'string', default: '3' },
    folder: { type: 'string', default: join(tmpdir(), 'bench-images') },
    only: { type: 'string' },
    json: { type: 'boolean' },
  },
})
const { folder } = values
const wanted = (name: string) => !values.only || values.only.split(',').includes(name)

interface Sample {
  readonly bytes: number
  readonly seconds: number
  readonly cpuSeconds?: number
  readonly rssMiB?: number
}

interface Row extends Sample {
  readonly name: string
  readonly load: number
}

const rows: Row[] = []
const ratios: { name: string; ratio: number; byCpu: number; goal: string }[] = []
let publisherRss = 0

/** The best of the rounds: the others had company. */
function add(name: string, samples: readonly Sample[]): Row {
  const best = samples.toSorted((a, b) => a.seconds / a.bytes - b.seconds / b.bytes)[0]
  if (!best) throw new Error(`${name}: no sample`)
  const rssMiB = Math.max(...samples.map((sample) => sample.rssMiB ?? 0))
  const row = { name, ...best, ...(rssMiB > 0 && { rssMiB }), load: loadNow }
  rows.push(row)
  process.stderr.write(`${name}: ${speedOf(row).toFixed(0)} MB/s\n`)
  return row
}

const speedOf = ({ bytes, seconds }: Sample) => bytes / 1e6 / seconds
let loadNow = 0

/** In turns, so that a busy machine is busy for all of them. */
async function inTurns(subjects: Record<string, (() => Promise<Sample>) | undefined>): Promise<Row[]> {
  const samples = new Map<string, Sample[]>()
  for (let i = 0; i < Number(values.rounds); i++) {
    for (const [name, run] of Object.entries(subjects)) {
      if (!run) continue
      const memory = await warmMemory(join(folder, 'warm'), 1.5 * layerBytes)
      // What the one before has left to be written is written in its time.
      execFileSync('sync')
      loadNow = Number((await readFile('/proc/loadavg', 'utf8')).split(' ')[0])
      samples.set(name, [...(samples.get(name) ?? []), await run()])
      await memory.release()
    }
  }
  return [...samples].map(([name, each]) => add(name, each))
}

function startRole(role: string, at: string, argument = '') {
  const child = spawn(
    process.execPath,
    [...process.execArgv, join(import.meta.dirname, 'role.ts'), role, at, argument],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const nextLine = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error(`${role} ended without a word`)
    return String(value)
  }
  return { child, nextLine, result: async (): Promise<Sample> => JSON.parse(await nextLine()) }
}

async function runRole(role: string, at: string, argument = ''): Promise<Sample> {
  const { child, result } = startRole(role, at, argument)
  const ended = once(child, 'exit')
  const sample = await result()
  await ended
  return sample
}

/** A program of others; the shell tells its CPU time. */
async function timed(bytes: number, program: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Sample> {
  const since = performance.now()
  const child = spawn('sh', ['-c', '"$@" >/dev/null || exit; times', 'sh', program, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stdout })) lines.push(line)
  if (lines.length < 2) throw new Error(`${program} ${args[0]} failed`)
  const cpuSeconds = [...(lines[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds),
    0,
  )
  return { bytes, seconds: (performance.now() - since) / 1000, cpuSeconds }
}

function has(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    process.stderr.write(`SKIPPED ${program}: not here\n`)
    return false
  }
}

/** Cipher, MAC and digest over memory on one thread: what the format costs at least, in Node's own OpenSSL. */
async function floor(): Promise<Sample> {
  const chunk = randomBytes(256 * 1024)
  const key = randomBytes(32)
  const cipher = createCipheriv('aes-256-ctr', key, randomBytes(16))
  const [mac, digest] = [createHmac('sha256', key), createHash('sha256')]
  const since = performance.now()
  const cpu = process.cpuUsage()
  for (let i = 0; i < 2048; i++) {
    const encrypted = cipher.update(chunk)
    mac.update(encrypted)
    digest.update(encrypted)
  }
  const seconds = (performance.now() - since) / 1000
  const { user, system } = process.cpuUsage(cpu)
  return { bytes: 2048 * chunk.length, seconds, cpuSeconds: (user + system) / 1e6 }
}

const plain = join(folder, `plain-${values.layers}x${values.mib}`)
process.stderr.write(`image of ${values.layers} layers, ${values.mib} MiB each, in ${plain}\n`)
await makeImage(plain, { layers: Number(values.layers), layerMiB: Number(values.mib) })
const files = await layerFiles(plain)
const work = join(folder, 'work')
/** Put aside, not removed: for a minute ext4 looks through the inodes of removed files whenever it wants a new one. */
const old = join(folder, 'old')
let put = 0
const fresh = async (name: string) => {
  await mkdir(old, { recursive: true })
  await mkdir(work, { recursive: true })
  if (existsSync(join(work, name))) await rename(join(work, name), join(old, String(put++)))
}
const skopeo = has('skopeo')
const kubo = process.env.BENCH_KUBO ?? 'ipfs'
const layerBytes = (await Promise.all(files.map((file) => stat(file)))).reduce((sum, { size }) => sum + size, 0)

if (wanted('encrypt')) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const [pub, key] = [join(work, 'pub.pem'), join(work, 'key.pem')]
  await mkdir(work, { recursive: true })
  await writeFile(pub, publicKey.export({ type: 'spki', format: 'pem' }))
  await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  const copy = (...args: string[]) => timed(layerBytes, 'skopeo', ['--insecure-policy', 'copy', '-q', ...args])
  const oci = (name: string) => `oci:${join(work, name)}:latest`
  const [floorRow, encrypt, opened, theirs, theirDecrypt] = await inTurns({
    'OpenSSL floor: ctr + hmac + sha256 in memory, one thread': floor,
    encrypt: async () => {
      await fresh('blocks')
      return runRole('encrypt', work, plain)
    },
    'decrypt and verify': () => runRole('open', work),
    ...(skopeo && {
      'skopeo encrypt': async () => {
        await fresh('skopeo-enc')
        return copy('--encryption-key', `jwe:${pub}`, `oci:${plain}:latest`, oci('skopeo-enc'))
      },
      'skopeo decrypt': async () => {
        await fresh('skopeo-dec')
        return copy('--decryption-key', key, oci('skopeo-enc'), oci('skopeo-dec'))
      },
    }),
  })
  ratio('encrypt / skopeo', encrypt, theirs, '>= 3.5')
  ratio('decrypt and verify / skopeo', opened, theirDecrypt, '>= 2')
  ratio('encrypt / floor', encrypt, floorRow, '>= 0.7')
  for (const name of ['skopeo-enc', 'skopeo-dec']) await fresh(name)
}

if (wanted('again')) {
  await fresh('cache')
  await runRole('republish', work, plain)
  await inTurns({ 'publish again, nothing changed': () => runRole('republish', work, plain) })
  await fresh('cache')
}

if (wanted('store')) {
  const env = { IPFS_PATH: join(work, 'kubo') }
  const [store, theirs] = await inTurns({
    'onto the blockstore': async () => {
      await fresh('stored')
      return runRole('store', work, plain)
    },
    'ipfs add (Kubo, no daemon)': has(kubo)
      ? async () => {
          await fresh('kubo')
          execFileSync(kubo, ['init', '--profile', 'test'], { env: { ...process.env, ...env }, stdio: 'ignore' })
          return timed(
            layerBytes,
            kubo,
            ['add', '-Q', '--cid-version', '1', '--chunker', 'size-1048576', ...files],
            env,
          )
        }
      : undefined,
  })
  ratio('store / ipfs add', store, theirs, '> 1')
  for (const name of ['stored', 'kubo']) await fresh(name)
}

if (wanted('transfer')) {
  if (!existsSync(join(work, 'published.json'))) await runRole('encrypt', work, plain)
  const [transfer, tcp] = await inTurns({
    'publisher to provider, the provider': async () => {
      await fresh('fetched')
      const provider = startRole('provider', work)
      const publisher = startRole('publisher', work, await provider.nextLine())
      const sample = await provider.result()
      publisherRss = Math.max(publisherRss, (await publisher.result()).rssMiB ?? 0)
      return sample
    },
    'plain TCP copy with SHA-256': async () => {
      const receiver = startRole('tcp-receiver', plain)
      const { port } = JSON.parse(await receiver.nextLine())
      const sender = startRole('tcp-sender', plain, `127.0.0.1:${port}`)
      const sample = await receiver.result()
      await sender.result()
      return sample
    },
  })
  ratio('transfer / plain copy', transfer, tcp, '>= 0.35')
  await fresh('fetched')
}

/** Nothing where a peer is missing. */
function ratio(name: string, ours: Row | undefined, theirs: Row | undefined, goal: string): void {
  if (!ours || !theirs) return
  const cpuOf = ({ cpuSeconds = Number.NaN, bytes }: Row) => cpuSeconds / bytes
  ratios.push({ name, ratio: speedOf(ours) / speedOf(theirs), byCpu: cpuOf(theirs) / cpuOf(ours), goal })
}

await rm(old, { recursive: true, force: true })
if (values.json) process.stdout.write(`${JSON.stringify({ node: process.version, rows, ratios, publisherRss })}\n`)
else print()

function print(): void {
  process.stdout.write(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model}, best of ${values.rounds}\n`)
  const line = (cells: string[]) =>
    process.stdout.write(
      `${(cells[0] ?? '').padEnd(60)}${cells
        .slice(1)
        .map((cell) => cell.padStart(12))
        .join('')}\n`,
    )
  line(['', 'seconds', 'MB/s', 'CPU s/GB', 'RSS MiB', 'load'])
  for (const row of rows)
    line([
      row.name,
      row.seconds.toFixed(2),
      speedOf(row).toFixed(0),
      row.cpuSeconds ? ((row.cpuSeconds * 1e9) / row.bytes).toFixed(1) : '-',
      row.rssMiB?.toFixed(0) ?? '-',
      row.load.toFixed(1),
    ])
  if (publisherRss > 0) line(['publisher to provider, the publisher', '', '', '', publisherRss.toFixed(0)])
  line(['', 'by time', 'by CPU', 'goal'])
  for (const { name, ratio: times, byCpu, goal } of ratios) line([name, times.toFixed(2), byCpu.toFixed(2), goal])
}
