import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { askYesNo } from './confirm.ts'
import type { Context } from './context.ts'
import { createOutput } from './output.ts'

function contextWith({
  isTTY,
  answer,
  signal = new AbortController().signal,
}: {
  isTTY: boolean
  answer: string
  signal?: AbortSignal
}): Context {
  const stdin = Object.assign(new PassThrough(), { isTTY })
  const stderr = Object.assign(new PassThrough(), { isTTY })
  const stdout = new PassThrough()
  stdin.write(answer)
  const output = createOutput(stdout, stderr, { format: 'pretty', quiet: false, env: {} })
  return {
    output,
    around: { stdout, stderr, stdin, env: {}, signal },
    signal,
    configPath: '',
    stateFolder: '',
    debug: false,
  }
}

test('only a y or yes agrees', async () => {
  for (const answer of ['y', 'Y', 'yes', ' yes ']) {
    assert.equal(await askYesNo(contextWith({ isTTY: true, answer: `${answer}\n` }), 'Pay?'), true, answer)
  }
  for (const answer of ['', 'n', 'no', 'yesterday', 'ja']) {
    assert.equal(await askYesNo(contextWith({ isTTY: true, answer: `${answer}\n` }), 'Pay?'), false, answer)
  }
})

test('without a terminal silence is not consent', async () => {
  await assert.rejects(
    askYesNo(contextWith({ isTTY: false, answer: 'y\n' }), 'Pay?'),
    (error) => error instanceof TrustedPodsError && error.code === 'PLATFORM_CONFIG',
  )
})

test('an interruption while it asks is no answer', async () => {
  const ending = new AbortController()
  const asked = askYesNo(contextWith({ isTTY: true, answer: '', signal: ending.signal }), 'Pay?')
  ending.abort()
  await assert.rejects(asked, { name: 'AbortError' })
})
