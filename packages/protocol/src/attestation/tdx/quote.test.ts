/** Quotes, chains and collateral of wrong form: each a finding, none an exception. Vectors as in vectors.test.ts. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { SHARED_VECTORS } from '../../../../../test/support/vectors/shared-vectors.ts'
import { toHex } from '../../bytes.ts'
import { worstTier } from '../checks.ts'
import { appraiseTdx, type TdxEvidence, type TdxOptions } from './appraise-tdx.ts'
import { QE_IDENTITY, splitCollateral, TCB_INFO } from './collateral.ts'
import { fromDcapCollateral } from './dcap-collateral.ts'
import { readPemCertificates } from './pem.ts'
import { STRICT_TDX_POLICY } from './policy.ts'
import { parseQeIdentity } from './qe-identity.ts'
import { parseTdxQuote } from './quote.ts'
import { INTEL_ROOT } from './roots.ts'
import { parseTcbInfo } from './tcb-info.ts'

const folder = join(SHARED_VECTORS, 'tdx')
const isThere = existsSync(join(folder, 'cases.json'))
const skip = isThere ? false : `no vectors at ${folder}: set TRUSTED_PODS_VECTORS`
const MALFORMED = { code: 'ATTEST_EVIDENCE_MALFORMED' }

function read(path: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, path)))
}

const readDocument = () =>
  JSON.parse(readFileSync(join(folder, 'collateral/90c06f-2026-03.json'), 'utf8')) as Record<string, string>

function readEvidence(name = 'v4-90c06f-azure'): TdxEvidence {
  return { report: read(`real/${name}.quote.bin`), ...fromDcapCollateral(readDocument()) }
}

const OPTIONS: TdxOptions = {
  policy: STRICT_TDX_POLICY,
  measurements: [],
  revocation: 'required',
  roots: [INTEL_ROOT],
  reportData: new Uint8Array(64),
  now: new Date('2026-03-20T00:00:00Z'),
}

test('the fields of a TD 1.0 quote and of a TD 1.5 quote are read', { skip }, () => {
  const old = parseTdxQuote(read('real/v4-90c06f-azure.quote.bin')).quote
  assert.ok(old)
  assert.equal(old.version, 4)
  assert.equal(old.td.mrServiceTd, undefined)
  assert.equal(old.signed.length, 632)
  const { quote } = parseTdxQuote(read('real/v5-90c06f-service-td.quote.bin'))
  assert.ok(quote?.td.mrServiceTd)
  assert.equal(toHex(quote.td.teeTcbSvn), '05010200000000000000000000000000')
  assert.equal(quote.td.xfam, 0x642e7n)
  assert.equal(
    quote.td.mrServiceTd.every((byte) => byte === 0),
    false,
  )
  assert.equal(quote.signed.length, 54 + 648)
})

test('a quote cut at any length is refused with format.length', { skip }, () => {
  for (const name of ['v4-90c06f-azure', 'v5-90c06f-gtg']) {
    const whole = read(`real/${name}.quote.bin`)
    const end = name.startsWith('v4') ? 4936 : whole.length
    for (let length = 0; length < end; length++) {
      const { quote, checks } = parseTdxQuote(whole.subarray(0, length))
      assert.equal(quote, undefined, `${name} cut to ${length}`)
      assert.deepEqual(
        checks.filter(({ tier }) => tier !== 'affirming').map(({ code }) => code),
        ['format.length'],
      )
    }
  }
})

test('lengths inside of a quote that do not add up are refused with format.length', { skip }, () => {
  const whole = read('real/v4-90c06f-azure.quote.bin')
  const at = { signature: 632, certification: 766, auth: 1218, chain: 1254 }
  for (const offset of Object.values(at)) {
    for (const step of [1, 255]) {
      const changed = whole.slice()
      changed[offset] = ((changed[offset] ?? 0) + step) & 0xff
      const { quote, checks } = parseTdxQuote(changed)
      assert.equal(quote, undefined)
      assert.ok(
        checks.some(({ code, tier }) => tier === 'contraindicated' && /^format\.(length|cert-type)$/.test(code)),
      )
    }
  }
})

test('a body type with the length of another is refused with format.body', { skip }, () => {
  const changed = read('real/v5-90c06f-gtg.quote.bin')
  for (const type of [1, 3 ^ (changed[48] ?? 0) ^ 2, 4]) {
    changed[48] = type
    assert.deepEqual(parseTdxQuote(changed).checks.at(-1)?.code, 'format.body')
  }
})

test('PEM: anything but certificates is refused', { skip }, () => {
  const { quote } = parseTdxQuote(read('real/v4-90c06f-azure.quote.bin'))
  assert.ok(quote)
  assert.equal(readPemCertificates(quote.pckChain).length, 3)
  const text = new TextDecoder().decode(quote.pckChain)
  const one = text.slice(0, text.indexOf('-----END') + '-----END CERTIFICATE-----'.length)
  const wrong = ['', '\0', `x${text}`, `${text}x`, `${text}\0x`, text.slice(1), `${one.slice(0, 40)}*${one.slice(40)}`]
  for (const pem of [...wrong, one.repeat(9), one.slice(0, -1), one.replace('MII', 'MI')]) {
    assert.throws(() => readPemCertificates(new TextEncoder().encode(pem)), MALFORMED, pem.slice(0, 60))
  }
})

test("an answer of Intel's service is cut into the exact bytes and their signature", { skip }, () => {
  const { tcb_info: body = '', tcb_info_signature: signature = '' } = readDocument()
  const answer = `{"tcbInfo":${body},"signature":"${signature}"}`
  const split = splitCollateral(TCB_INFO, answer)
  assert.equal(new TextDecoder().decode(split.body), body)
  assert.equal(toHex(split.signature), signature)
  assert.throws(() => splitCollateral(QE_IDENTITY, answer), MALFORMED)
  for (let length = 0; length < answer.length; length++) {
    assert.throws(() => splitCollateral(TCB_INFO, answer.slice(0, length)), MALFORMED)
  }
})

test('collateral with a value that is missing or of another form is refused', { skip }, () => {
  const document = readDocument()
  const bodies = [
    [document.tcb_info ?? '', parseTcbInfo],
    [document.qe_identity ?? '', parseQeIdentity],
  ] as const
  const optional = ['tdxModule', 'tdxModuleIdentities']
  for (const [body, parse] of bodies) {
    const value = JSON.parse(body) as Record<string, unknown>
    parse(new TextEncoder().encode(body))
    for (const key of Object.keys(value)) {
      const wrong = [null, [], {}, -1, 'x', ...(optional.includes(key) ? [] : [undefined])]
      for (const other of wrong) {
        if (key === 'id' && other === 'x') continue
        if (Array.isArray(other) && (key === 'tcbLevels' || key === 'tdxModuleIdentities')) continue
        const changed = new TextEncoder().encode(JSON.stringify({ ...value, [key]: other }))
        assert.throws(() => parse(changed), MALFORMED, `${key}: ${JSON.stringify(other)}`)
      }
    }
    for (const text of ['', 'null', '7', '[]', body.slice(0, -1)]) {
      assert.throws(() => parse(new TextEncoder().encode(text)), MALFORMED)
    }
  }
  const unknown = (document.tcb_info ?? '').replace('"UpToDate"', '"Fine"')
  assert.throws(() => parseTcbInfo(new TextEncoder().encode(unknown)), MALFORMED)
})

/** One to four bytes of quote, lists or collateral, each set to another value. */
function mutate(evidence: TdxEvidence, random: (below: number) => number): TdxEvidence {
  const copy = structuredClone(evidence)
  const pieces = copy.collateral.flatMap(({ body, signature, certificates }) => [body, signature, ...certificates])
  // Zeros behind the quote are padding, so bytes of the quote itself are changed more often.
  const parts = [copy.report, copy.report, copy.report, ...copy.crls, ...pieces]
  const part = parts[random(parts.length)]
  assert.ok(part)
  for (let i = 0; i <= random(4); i++) part[random(part.length)] = random(256)
  return copy
}

test('2,000 random mutations never raise an exception, and one that is accepted is no mutation', { skip }, async () => {
  const evidence = readEvidence()
  const random = xorshift(0x2545f491)
  for (let i = 0; i < 2000; i++) {
    const changed = mutate(evidence, random)
    const { checks } = await appraiseTdx(changed, OPTIONS)
    const refused = checks.filter(({ code, tier }) => tier === 'contraindicated' && !IGNORED.test(code))
    if (refused.length === 0) assert.deepEqual(strip(changed), strip(evidence), `mutation ${i}`)
  }
})

/** Refused in the original too: it is not bound, and no reference value is given. */
const IGNORED = /^(binding\.report-data|measurement\.)/

/** What is signed or decides; line ends of PEM and base64 padding decide nothing. */
function strip({ report, collateral, crls }: TdxEvidence) {
  const quote = parseTdxQuote(report).quote
  return { signed: quote?.signed, chain: quote && readPemCertificates(quote.pckChain), collateral, crls }
}

test('any bytes get a verdict that is refused', async () => {
  const bytes = fc.uint8Array({ maxLength: 1500 })
  const piece = fc.record({
    kind: fc.constantFrom(TCB_INFO, QE_IDENTITY),
    body: bytes,
    signature: bytes,
    certificates: fc.array(bytes),
  })
  const evidence = fc.record({
    report: bytes,
    crls: fc.array(bytes, { maxLength: 4 }),
    collateral: fc.array(piece, { maxLength: 3 }),
    eventLog: fc.record({ format: fc.constantFrom('ccel', 'dstack', ''), log: bytes }),
  })
  await fc.assert(
    fc.asyncProperty(evidence, async (any) => {
      assert.equal(worstTier((await appraiseTdx(any, OPTIONS)).checks), 'contraindicated')
    }),
  )
})

function xorshift(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}
