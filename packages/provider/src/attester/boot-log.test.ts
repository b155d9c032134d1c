/** A genuine machine's boot log goes along with its quote, and with no other. Vectors: TRUSTED_PODS_VECTORS. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { concatBytes } from '@trusted-pods/protocol/bytes.ts'
import { memoryLog } from '../../../../test/support/memory-log.ts'
import { SHARED_VECTORS } from '../../../../test/support/vectors/shared-vectors.ts'
import { openBootLog } from './boot-log.ts'

const folder = join(SHARED_VECTORS, 'tdx')
const skip = existsSync(join(folder, 'eventlog')) ? false : `no vectors at ${folder}: set TRUSTED_PODS_VECTORS`
const ccel = () => join(folder, 'eventlog/v4-00806f05-gcp-cos113.ccel.bin')
const quoteOf = (name: string) => new Uint8Array(readFileSync(join(folder, `real/${name}.quote.bin`)))

test("the log of a quote's own boot goes along, without the memory behind it", { skip }, async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'tp-ccel-'))
  t.after(() => rmSync(scratch, { recursive: true }))
  const path = join(scratch, 'CCEL')
  const used = (await (await openBootLog(ccel())).of(quoteOf('v4-00806f05-gcp-cos113')))?.log
  assert.ok(used && used.length > 1000)
  writeFileSync(path, concatBytes(used, new Uint8Array(65_536 - used.length).fill(0xff)))
  assert.deepEqual(await (await openBootLog(path)).of(quoteOf('v4-00806f05-gcp-cos113')), {
    format: 'ccel',
    log: used,
  })
})

test('a log that does not replay to the quote stays behind, and that is told once', { skip }, async () => {
  const log = memoryLog()
  const bootLog = await openBootLog(ccel(), { log })
  assert.equal(await bootLog.of(quoteOf('v4-90c06f-dstack-lite')), undefined)
  assert.equal(await bootLog.of(new Uint8Array(8)), undefined)
  assert.deepEqual(
    log.entries.map(({ level }) => level),
    ['warn'],
  )
})

test('without a log, or with one that cannot be read, there is none, and that is told', async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'tp-ccel-'))
  t.after(() => rmSync(scratch, { recursive: true }))
  const broken = join(scratch, 'CCEL')
  writeFileSync(broken, new Uint8Array(100).fill(1))
  for (const path of [broken, join(scratch, 'missing')]) {
    const log = memoryLog()
    assert.equal(await (await openBootLog(path, { log })).of(new Uint8Array()), undefined)
    assert.equal(log.entries.length, 1)
  }
})
