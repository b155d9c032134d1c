import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { formatReceiptFile } from '@trusted-pods/publisher/receipt-file.ts'
import { fundedLease } from '../../../test/support/lease-fixture.ts'
import { memoryStream } from '../../../test/support/memory-stream.ts'
import { receiptFile } from '../../../test/support/receipt-file-fixture.ts'
import { openLeaseFiles } from './lease-store.ts'
import { runProgram } from './program.ts'

async function newHome(t: TestContext): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'tp-cli-'))
  t.after(() => rm(home, { recursive: true }))
  return home
}

/** One command line with a home of its own and no terminal. */
async function run(home: string, ...args: string[]) {
  const [stdout, stderr] = [memoryStream(), memoryStream()]
  const signal = new AbortController().signal
  const code = await runProgram(args, { stdout, stderr, stdin: Readable.from([]), env: { HOME: home }, signal })
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}

test('a manifest is made, checked, and not written over', async (t) => {
  const home = await newHome(t)
  const path = join(home, 'pod.yml')
  const made = await run(home, 'init', path, '--image', 'nginx:1.27', '--port', '8080:80')
  assert.equal(made.code, 0, made.stderr)
  assert.match(made.stderr, /Next: trustedpods validate/)
  assert.match(await readFile(path, 'utf8'), /nginx:1\.27/)
  const checked = await run(home, 'validate', path, '-o', 'json')
  assert.equal(checked.code, 0)
  assert.equal(JSON.parse(checked.stdout).valid, true)
  assert.equal((await run(home, 'init', path, '--image', 'other')).code, 2)
  assert.match(await readFile(path, 'utf8'), /nginx:1\.27/)
  assert.equal((await run(home, 'init', path, '--image', 'other', '--force')).code, 0)
})

test('a manifest with mistakes ends with 3 and shows each with its place', async (t) => {
  const home = await newHome(t)
  const path = join(home, 'pod.yml')
  await writeFile(path, 'type: trustedpods\nversion: "1.0"\ncontainers:\n  - image: nginx\n    prots: [80]\n')
  const checked = await run(home, 'validate', path)
  assert.equal(checked.code, 3)
  assert.match(checked.stdout, /pod\.yml:5:\d+: .*prots/)
  assert.match(checked.stdout, /not valid: 1 error/)
  assert.equal((await run(home, 'deploy', path, '--yes')).code, 3)
})

test('help lists every command, wherever its name stands, and a mistyped one is told its likeness', async (t) => {
  const home = await newHome(t)
  const all = await run(home, '--help')
  for (const name of ['init', 'plan', 'deploy', 'stop', 'withdraw', 'ls', 'image'])
    assert.match(all.stdout, new RegExp(`^  ${name} `, 'm'))
  for (const args of [
    ['image', '--help'],
    ['help', 'image'],
    ['-o', 'json', 'image'],
  ]) {
    const { stdout, stderr } = await run(home, ...args)
    for (const name of ['encrypt', 'publish', 'import', 'gc'])
      assert.match(stdout + stderr, new RegExp(`^  ${name} `, 'm'), args.join(' '))
  }
  assert.match((await run(home, 'image', 'encrypt', '--help')).stdout, /--dest-compress-format/)
  assert.match((await run(home, 'depoly')).stderr, /Did you mean deploy/)
  assert.match((await run(home, 'image', 'publihs')).stderr, /Did you mean publish/)
})

test('the name of a command as the value of an option is no command', async (t) => {
  const home = await newHome(t)
  const path = join(home, 'image')
  await writeFile(path, '{}')
  for (const args of [
    ['--config', path, 'ls'],
    ['--config', 'deploy', 'image', 'ls'],
  ]) {
    const { code, stdout } = await run(home, ...args, '-o', 'json')
    assert.deepEqual([code, JSON.parse(stdout)], [0, []])
  }
})

test('no manifest ends with 3 and says how to get one', async (t) => {
  const { code, stderr } = await run(await newHome(t), 'deploy', '/nowhere/pod.yml', '--dry-run')
  assert.equal(code, 3)
  assert.match(stderr, /error: MANIFEST_UNREADABLE[\s\S]*trustedpods init/)
})

test('without a terminal nothing is paid unless --yes says so', async (t) => {
  const { code, stderr } = await run(await newHome(t), 'deploy')
  assert.equal(code, 2)
  assert.match(stderr, /there is no terminal to ask on: add --yes/)
})

test('wrong use ends with 2 and one line that helps', async (t) => {
  const home = await newHome(t)
  for (const args of [
    ['bogus'],
    ['ls', '--bogus'],
    ['ls', '-o', 'xml'],
    ['attest'],
    ['init'],
    ['logs', 'x', '--tail', '-1'],
    ['deploy', '--hours', '0'],
  ]) {
    const { code, stdout, stderr } = await run(home, ...args)
    assert.equal(code, 2, args.join(' '))
    assert.equal(stdout, '')
    assert.match(stderr, /^error: /)
  }
  assert.equal((await run(home, '--help')).code, 0)
  assert.match((await run(home, 'deploy', '--help')).stdout, /--dry-run/)
})

test('leases are listed, those that have ended with --all', async (t) => {
  const home = await newHome(t)
  assert.equal((await run(home, 'ls')).stdout, 'no leases\n')
  const lease = fundedLease({ name: 'web' })
  await openLeaseFiles(join(home, '.local/state/trustedpods/leases')).save(lease)
  const listed = await run(home, 'ls')
  assert.match(listed.stdout, new RegExp(`${lease.id.slice(0, 12)} +web +funded +0\\.1 tUSDC`))
  const [json] = JSON.parse((await run(home, 'ls', '-o', 'json')).stdout)
  assert.equal(json.lease, lease.id)
  assert.equal(json.channel.deposit, '100000')
  assert.doesNotMatch(JSON.stringify(json), /draft/)
})

test('a lease that is not known ends with 2', async (t) => {
  const home = await newHome(t)
  const unknown = await run(home, 'status', 'abcdef')
  assert.equal(unknown.code, 2)
  assert.match(unknown.stderr, /STATUS_UNKNOWN_POD/)
  assert.match((await run(home, 'status')).stderr, /no lease on this machine that has not ended/)
})

test('a command says which part of the configuration it misses', async (t) => {
  const { code, stderr } = await run(await newHome(t), 'providers', '-o', 'json')
  assert.equal(code, 2)
  assert.match(
    JSON.parse(stderr).error.message,
    /there is no configuration \S+config\.yaml; this command needs its chain/,
  )
})

test('Ctrl-C ends a command that waits, with 130 and without a stack', async (t) => {
  const home = await newHome(t)
  // An RPC endpoint that takes the connection and never answers.
  const deaf = createServer().listen(0, '127.0.0.1')
  t.after(() => deaf.close())
  await once(deaf, 'listening')
  const address = deaf.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const contract = `'0x${'11'.repeat(20)}'`
  const folder = join(home, '.config/trustedpods')
  await mkdir(folder, { recursive: true })
  const chain = `{id: 1, rpc: ['http://127.0.0.1:${port}'], escrow: ${contract}, registry: ${contract}, token: ${contract}}`
  await writeFile(join(folder, 'config.yaml'), `chain: ${chain}\n`)
  const main = fileURLToPath(new URL('main.ts', import.meta.url))
  const child = spawn(process.execPath, ['--conditions=@trusted-pods/source', main, 'providers'], {
    env: { HOME: home, PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  await once(deaf, 'connection')
  child.kill('SIGINT')
  const [code] = await once(child, 'close')
  assert.equal(code, 130, stderr)
  assert.match(stderr, /INTERRUPTED/)
  assert.doesNotMatch(stderr, /\n\s+at /)
})

test('a configuration that lacks a key is told with its path and what the command needs', async (t) => {
  const home = await newHome(t)
  await writeFile(join(home, 'empty.yaml'), '')
  const empty = await run(home, 'providers', '--config', join(home, 'empty.yaml'))
  assert.equal(empty.code, 2)
  assert.match(empty.stderr, /empty\.yaml does not set chain; this command needs its chain/)
})

test('a wrong policy is told with the file that it is in', async (t) => {
  const home = await newHome(t)
  const policy = join(home, 'policy.yml')
  await writeFile(policy, 'version: 1\ncolour: red\n')
  const { code, stderr } = await run(home, 'attest', 'anybody', '--policy', policy)
  assert.equal(code, 2)
  assert.match(stderr, /ATTEST_POLICY_INVALID\n\s+\S+policy\.yml: policy\./)
})

test('an exported receipt is verified without a configuration; one that was changed ends with 6', async (t) => {
  const home = await newHome(t)
  const file = await receiptFile()
  const path = join(home, 'receipt.json')
  await writeFile(path, formatReceiptFile(file))
  const good = await run(home, 'receipts', 'verify', path, '-o', 'json')
  assert.equal(good.code, 0, good.stderr)
  assert.deepEqual([JSON.parse(good.stdout).holds, JSON.parse(good.stdout).exit.reason], [true, 'stopped-by-publisher'])
  await writeFile(path, formatReceiptFile({ ...file, podDigest: new Uint8Array(32) }))
  const bad = await run(home, 'receipts', 'verify', path)
  assert.equal(bad.code, 6)
  assert.match(bad.stdout, /✘ pod[\s\S]*the receipt does not hold/)
  await writeFile(path, '{}')
  assert.equal((await run(home, 'receipts', 'verify', path)).code, 6)
  assert.equal((await run(home, 'receipts', 'verify', join(home, 'nowhere'))).code, 2)
})

test('a lease without a receipt, and money commands without a configuration, say what is missing', async (t) => {
  const home = await newHome(t)
  const lease = fundedLease()
  await openLeaseFiles(join(home, '.local/state/trustedpods/leases')).save(lease)
  const none = await run(home, 'receipts', lease.id)
  assert.equal(none.code, 6)
  assert.match(none.stderr, /no receipt of lease/)
  assert.equal((await run(home, 'fund', lease.id, '1', '--yes')).code, 2)
  assert.equal((await run(home, 'withdraw')).code, 2)
  assert.equal((await run(home, 'withdraw', '--close-lost')).code, 2)
})
