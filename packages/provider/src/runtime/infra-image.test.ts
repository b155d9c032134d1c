import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { firstFile } from '@trusted-pods/platform/engine/file-tar.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { infraImage } from './infra-image.ts'

async function programOf(arch: string): Promise<Uint8Array> {
  const image = await infraImage(arch)
  const tar: Uint8Array[] = []
  for (const layer of image.layers) for await (const chunk of layer.open()) tar.push(chunk)
  const program = await firstFile(Buffer.concat(tar))
  assert.ok(program)
  return program
}

test('the program runs on this machine, sleeps, and ends by a signal only', {
  skip: process.platform !== 'linux' && 'needs Linux',
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tp-pause-'))
  try {
    await writeFile(join(folder, 'pause'), await programOf(process.arch), { mode: 0o755 })
    const child = spawn(join(folder, 'pause'), { stdio: 'ignore' })
    const exit = once(child, 'exit')
    const stateOf = async () => /^State:\s+(\S)/m.exec(await readFile(`/proc/${child.pid}/status`, 'utf8'))?.[1]
    const until = Date.now() + 5_000
    while ((await stateOf()) !== 'S' || (await readFile(`/proc/${child.pid}/comm`, 'utf8')) !== 'pause\n') {
      assert.ok(Date.now() < until, `it is in state ${await stateOf()}, S (asleep) was wanted`)
    }
    child.kill('SIGTERM')
    assert.deepEqual(await exit, [null, 'SIGTERM'])
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('each machine has its own, the same every time; an unknown one is refused', async () => {
  assert.equal((await infraImage('x64')).digest, (await infraImage('x64')).digest)
  assert.notEqual((await infraImage('x64')).digest, (await infraImage('arm64')).digest)
  assert.equal(new DataView((await programOf('arm64')).slice().buffer).getUint16(0x12, true), 183)
  assert.throws(
    () => infraImage('mips'),
    (error) => error instanceof TrustedPodsError && error.code === 'PLATFORM_CONFIG',
  )
})
