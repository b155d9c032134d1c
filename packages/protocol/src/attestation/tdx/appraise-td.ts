/** Judges what the quote says of the guest: attributes, features, bound services. Spec: spec/ATTESTATION.md#tdx-guest. Pure. */
import { toHex } from '../../bytes.ts'
import { type Check, judge, rate } from '../checks.ts'
import type { TdxPolicy } from './policy.ts'
import type { TdReport } from './quote.ts'

/** Bits of TDATTRIBUTES. */
export const TD_ATTRIBUTES = {
  debug: 1n << 0n,
  septVeDisable: 1n << 28n,
  migratable: 1n << 29n,
  pks: 1n << 30n,
  keyLocker: 1n << 31n,
  perfmon: 1n << 63n,
} as const

const KNOWN = Object.values(TD_ATTRIBUTES).reduce((all, bit) => all | bit, 0n)

export function appraiseTd(td: TdReport, policy: TdxPolicy): Check[] {
  const has = (bit: bigint) => (td.tdAttributes & bit) !== 0n
  const { septVeDisable, migratable, perfmon } = policy.attributes
  const reserved = td.tdAttributes & ~KNOWN
  const { debug, septVeDisable: septBit, migratable: migrationBit, perfmon: perfmonBit } = TD_ATTRIBUTES
  const from = 'quote TDATTRIBUTES'
  return [
    judge('policy.debug', !has(debug), 'off', onOff(has(debug)), from),
    judge('policy.attributes', reserved === 0n, 'none', reserved === 0n ? 'none' : hex64(reserved)),
    judge(
      'policy.sept-ve-disable',
      septVeDisable === 'any' || has(septBit),
      septVeDisable === 'any' ? 'any' : 'on',
      onOff(has(septBit)),
    ),
    judge('policy.migration', migratable || !has(migrationBit), migratable ? 'any' : 'off', onOff(has(migrationBit))),
    rate('policy.perfmon', has(perfmonBit) ? perfmon : 'affirming', 'off', onOff(has(perfmonBit))),
    checkXfam(td, policy),
    checkServiceTd(td, policy),
  ]
}

function checkXfam({ xfam }: TdReport, { xfam: { mask, value } }: TdxPolicy): Check {
  return judge('policy.xfam', (xfam & mask) === value, `${hex64(value)} in ${hex64(mask)}`, hex64(xfam))
}

/** A service TD can move the guest or read its keys; TD reports 1.0 know none. */
function checkServiceTd({ mrServiceTd }: TdReport, { serviceTd }: TdxPolicy): Check {
  const bound = mrServiceTd?.some((byte) => byte !== 0) ? toHex(mrServiceTd) : undefined
  const isAllowed = bound === undefined || (serviceTd !== 'forbid' && serviceTd.includes(bound))
  return judge('policy.service-td', isAllowed, serviceTd === 'forbid' ? 'none' : serviceTd.join(', '), bound ?? 'none')
}

function onOff(flag: boolean): string {
  return flag ? 'on' : 'off'
}

function hex64(value: bigint): string {
  return `0x${value.toString(16).padStart(16, '0')}`
}
