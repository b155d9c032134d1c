/** Makes test/vectors/snp anew: evidence in AMD's forms under keys that are thrown away, and the verdicts wanted. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Tier } from '@trusted-pods/protocol/attestation/checks.ts'
import type { EndorsementKind } from '@trusted-pods/protocol/attestation/snp/policy.ts'
import {
  type ListRequest,
  makeList,
  makeReport,
  makeSyntheticChain,
  partialList,
  SERIALS,
} from '../test/support/vectors/synthetic-snp.ts'

const folder = resolve(import.meta.dirname, '../test/vectors/snp')
const NOW = '2026-06-01T00:00:00Z'

interface Wanted {
  readonly id: string
  readonly why: string
  readonly kind?: EndorsementKind
  readonly change?: (view: DataView, report: Uint8Array) => void
  /** Another list than the one that revokes nothing. */
  readonly list?: ListRequest
  readonly expected: Tier
  readonly codes?: readonly string[]
}

const KEY_INFO = 0x048
const CASES: readonly Wanted[] = [
  { id: 'ok-vcek', why: 'with key identifiers, CRL URLs and a CRL number, as AMD has them', expected: 'affirming' },
  { id: 'ok-vlek', why: 'the same with a VLEK', kind: 'vlek', expected: 'affirming' },
  {
    id: 'mask-chip-id',
    why: 'MASK_CHIP_ID: CHIP_ID is zero, the VCEK names the chip and its signature holds. Stricter than AMD: what hides cannot be pinned',
    change: (_, report) => report.fill(0, 0x1a0, 0x1e0),
    expected: 'contraindicated',
    codes: ['chain.chip-id-mismatch'],
  },
  {
    id: 'mask-chip-key',
    why: 'MASK_CHIP_KEY with a VCEK signature: firmware signs nothing with a masked key',
    change: (view) => view.setUint32(KEY_INFO, 2, true),
    expected: 'contraindicated',
    codes: ['chain.key-kind'],
  },
  {
    id: 'vlek-mask-chip-key',
    why: 'MASK_CHIP_KEY says nothing of a VLEK',
    kind: 'vlek',
    change: (view) => view.setUint32(KEY_INFO, (1 << 2) | 2, true),
    expected: 'affirming',
  },
  {
    id: 'version-6',
    why: 'a version whose layout is not known: unsupported, and nothing else is said of it',
    change: (view) => view.setUint32(0, 6, true),
    expected: 'contraindicated',
    codes: ['format.version', 'format.unsupported'],
  },
  {
    id: 'version-6-signing-key-2',
    why: 'version 6 with the key kind that it brings',
    change: (view) => {
      view.setUint32(0, 6, true)
      view.setUint32(KEY_INFO, 2 << 2, true)
    },
    expected: 'contraindicated',
    codes: ['format.unsupported'],
  },
  {
    id: 'version-5-signing-key-2',
    why: 'a key kind that version 5 does not have',
    change: (view) => view.setUint32(KEY_INFO, 2 << 2, true),
    expected: 'contraindicated',
    codes: ['chain.key-kind', 'policy.endorsement'],
  },
  {
    id: 'key-info-reserved',
    why: 'KEY_INFO bits 31:5 must be zero',
    change: (view) => view.setUint32(KEY_INFO, 1 << 5, true),
    expected: 'contraindicated',
    codes: ['format.reserved'],
  },
  {
    id: 'asvk-revoked',
    why: "the ARK's list revokes the ASVK",
    kind: 'vlek',
    list: { revoked: [SERIALS.asvk] },
    expected: 'contraindicated',
    codes: ['chain.revoked'],
  },
  {
    id: 'ask-revoked-beside-asvk',
    why: 'a revoked ASK says nothing of the ASVK',
    kind: 'vlek',
    list: { revoked: [SERIALS.ask] },
    expected: 'affirming',
  },
  {
    id: 'ark-revoked',
    why: 'the ARK revokes itself',
    list: { revoked: [SERIALS.ark] },
    expected: 'contraindicated',
    codes: ['chain.revoked'],
  },
  {
    id: 'vcek-serial-revoked',
    why: 'serial 0 of the ARK is no VCEK: those are of the ASK',
    list: { revoked: [0] },
    expected: 'affirming',
  },
  {
    id: 'crl-partial',
    why: 'a critical issuingDistributionPoint: a list about a part only is not understood',
    list: { extensions: [partialList()] },
    expected: 'contraindicated',
    codes: ['chain.revocation-unknown'],
  },
  {
    id: 'crl-not-yet-valid',
    why: 'thisUpdate lies ahead. Stricter than RFC 5280, which leaves it open',
    list: { thisUpdate: new Date('2026-06-02T00:00:00Z') },
    expected: 'contraindicated',
    codes: ['chain.revocation-unknown'],
  },
  {
    id: 'crl-ends-now',
    why: 'nextUpdate is the time of judging: still current',
    list: { nextUpdate: new Date(NOW) },
    expected: 'affirming',
  },
]

await rm(folder, { recursive: true, force: true })
await mkdir(folder, { recursive: true })
const chain = await makeSyntheticChain('Milan')
const write = async (name: string, bytes: Uint8Array) => {
  await writeFile(join(folder, name), bytes)
  return name
}
const root = await write('milan.ark.der', chain.ark)
const files = {
  vcek: [await write('milan.ask.der', chain.intermediates.vcek), await write('milan.vcek.der', chain.leaves.vcek)],
  vlek: [await write('milan.asvk.der', chain.intermediates.vlek), await write('milan.vlek.der', chain.leaves.vlek)],
}
const plainList = await write('milan.crl.der', await makeList(chain))
const plainReports = {
  vcek: await write('ok-vcek.report.bin', await makeReport(chain, 'vcek')),
  vlek: await write('ok-vlek.report.bin', await makeReport(chain, 'vlek')),
}

const cases = []
for (const { id, why, kind = 'vcek', change, list, expected, codes = [] } of CASES) {
  const [intermediate, endorsement] = files[kind]
  const report = change ? await write(`${id}.report.bin`, await makeReport(chain, kind, change)) : plainReports[kind]
  const crl = list ? await write(`${id}.crl.der`, await makeList(chain, list)) : plainList
  cases.push({ id, why, report, endorsement, intermediate, root, trustedRoot: root, crl, now: NOW, expected, codes })
}
const note = 'SYNTHETIC: signed by throw-away keys. Made by scripts/make-vectors.ts.'
await writeFile(join(folder, 'cases.json'), `${JSON.stringify({ note, cases }, null, 2)}\n`)
process.stdout.write(`${cases.length} cases in ${folder}\n`)
