import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { lockState } from './state-lock.ts'

test('a state folder has one holder at a time, and is free again afterwards', () => {
  const folder = mkdtempSync(join(tmpdir(), 'state-'))
  try {
    const first = lockState(folder)
    assert.throws(() => lockState(folder), { code: 'PLATFORM_STATE', message: /another tpodserver uses/ })
    first[Symbol.dispose]()
    lockState(folder)[Symbol.dispose]()
  } finally {
    rmSync(folder, { recursive: true })
  }
})
