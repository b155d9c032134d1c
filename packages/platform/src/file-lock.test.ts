/** Locks hold between processes, and go with them. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { lockFile, tryLock } from './file-lock.ts'

async function lockPath(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-lock-'))
  t.after(() => rm(folder, { recursive: true }))
  return join(folder, 'below', 'lock')
}

test('many share, one excludes, and disposing lets go', async (t) => {
  const path = await lockPath(t)
  const shared = [tryLock(path, 'shared'), tryLock(path, 'shared')]
  assert.ok(shared.every(Boolean))
  assert.equal(tryLock(path, 'exclusive'), undefined)
  for (const lock of shared) lock?.[Symbol.dispose]()
  using exclusive = tryLock(path, 'exclusive')
  assert.ok(exclusive)
  assert.equal(tryLock(path, 'shared'), undefined)
})

test('a waiting one gets it, and one that is told to stop does not wait on', async (t) => {
  const path = await lockPath(t)
  const held = tryLock(path, 'exclusive') ?? assert.fail()
  const stop = new AbortController()
  const given = assert.rejects(lockFile(path, 'shared', { signal: stop.signal }), { name: 'AbortError' })
  stop.abort()
  await given
  const waiting = lockFile(path, 'shared')
  held[Symbol.dispose]()
  ;(await waiting)[Symbol.dispose]()
})

test('a process that is killed holds it no longer', async (t) => {
  const path = await lockPath(t)
  const code = `import { tryLock } from '${import.meta.dirname}/file-lock.ts'
globalThis.held = tryLock(${JSON.stringify(path)}, 'exclusive'); console.log('held'); setInterval(() => {}, 1000)`
  const args = [
    ...process.execArgv.filter((flag) => !flag.startsWith('--test')),
    '--input-type=module-typescript',
    '-e',
    code,
  ]
  const holder = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(holder.stdout, 'data')
  assert.equal(tryLock(path, 'shared'), undefined)
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  using lock = tryLock(path, 'exclusive')
  assert.ok(lock)
})
