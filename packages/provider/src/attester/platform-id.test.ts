/** The id that a provider announces is the one that verifiers read. Genuine evidence: TRUSTED_PODS_VECTORS. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import { SHARED_VECTORS } from '../../../../test/support/vectors/shared-vectors.ts'
import { readPlatformId } from './platform-id.ts'

const skip = existsSync(join(SHARED_VECTORS, 'snp/real'))
  ? false
  : `no vectors at ${SHARED_VECTORS}: set TRUSTED_PODS_VECTORS`
const read = (path: string) => new Uint8Array(readFileSync(join(SHARED_VECTORS, path)))

function snpId(name: string, kind: 'vcek' | 'vlek' = 'vcek'): string | undefined {
  const report = read(`snp/real/${name}.report.bin`)
  const id = readPlatformId({ report, certificates: [read(`snp/real/${name}.${kind}.der`)], crls: [] }, 'snp')
  return id && toHex(id)
}

test('64 bytes of the chip on Milan and Genoa, 8 on Turin, none under a VLEK', { skip }, () => {
  const chipId = (name: string) => toHex(read(`snp/real/${name}.report.bin`).subarray(0x1a0, 0x1e0))
  assert.equal(snpId('milan-v3-azure'), chipId('milan-v3-azure'))
  assert.equal(snpId('genoa-v5-oak'), chipId('genoa-v5-oak'))
  assert.equal(snpId('turin-v5-ms'), chipId('turin-v5-ms').slice(0, 16))
  assert.equal(snpId('milan-v3-vlek-aws', 'vlek'), undefined)
})

test('16 bytes of the platform instance on TDX', { skip }, () => {
  const report = read('tdx/real/v4-90c06f-dstack-lite.quote.bin')
  const id = readPlatformId({ report, certificates: [], crls: [] }, 'tdx')
  assert.equal(id?.length, 16)
})
