/** What a production web page gets of the verifier: how much, and what must not be in it. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import {
  SIMULATION_EXTENSION,
  SIMULATION_FAMILY,
  SIMULATION_MEASUREMENT,
} from '@trusted-pods/protocol/attestation/snp/product.ts'
import { bundleForWeb } from '../support/web-bundle.ts'

/** What a page can afford for it: a tenth of a second on a slow line. */
const MAX_GZIP_BYTES = 40_000

const entry = join(import.meta.dirname, 'pages/verifier.ts')
const production = await bundleForWeb(entry, { production: true })
const development = await bundleForWeb(entry, { production: false })

/** What only the acceptance of simulated evidence needs. */
const SIMULATION = ['ARK-SIM', 'ASK-SIM', 'VCEK-SIM', 'SGX-ROOT-SIM', 'SGX-PCK-SIM', SIMULATION_EXTENSION]
/** What makes simulated evidence, or any: the provider's affair. */
const PROVIDER = [
  new TextDecoder().decode(SIMULATION_FAMILY),
  SIMULATION_FAMILY.join(','),
  SIMULATION_MEASUREMENT,
  'configfs',
  '/sys/kernel',
  'kdsintf.amd.com',
  'trustedservices.intel.com',
  'tpodserver',
  'docker',
  'kubernetes',
]
/** A verifier asks nobody, and runs nothing that it was not built with. */
const PLATFORM = [
  /\bnode:/,
  /\brequire\(/,
  /\bimport\b/,
  /\bfetch\(/,
  /XMLHttpRequest/,
  /WebSocket/,
  /\beval\(/,
  /Function\(/,
]

test('the verifier with its roots is at most 40 kB gzip', (t) => {
  const { length } = gzipSync(production, { level: 9 })
  t.diagnostic(`${production.length} bytes minified, ${length} bytes gzip`)
  assert.ok(length <= MAX_GZIP_BYTES, `${length} bytes`)
  for (const root of ['ARK-', '69d063b45344d26a', '4c6598d19c18719c', '1f084161a44bb6d9', '44a0196b2b99f889'])
    assert.ok(production.includes(root), root)
})

test('it needs no module, no Node and no network', () => {
  for (const pattern of PLATFORM) assert.doesNotMatch(production, pattern)
})

test('it names nothing of the provider and of what makes simulated evidence', () => {
  for (const word of PROVIDER) assert.ok(!production.toLowerCase().includes(word.toLowerCase()), word)
})

test('nothing by which simulated evidence could be accepted is in it, and all of that is in the one for development', () => {
  assert.deepEqual(
    SIMULATION.filter((word) => production.includes(word)),
    [],
  )
  assert.deepEqual(
    SIMULATION.filter((word) => !development.includes(word)),
    [],
  )
})
