/** A refusal as tests expect it: our error, this code, and a message that says why. */
import assert from 'node:assert/strict'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'

export async function assertRefused(code: ErrorCode, message: RegExp, act: () => Promise<unknown>): Promise<void> {
  await assert.rejects(act, (error) => {
    assert.ok(error instanceof TrustedPodsError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  })
}
