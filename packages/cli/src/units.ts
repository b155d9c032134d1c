/** Quantities, sizes and times as people say them. Pure. */
import { PriceKind } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { PRICED_RESOURCES } from '@trusted-pods/protocol/pricing/resources.ts'

const SECONDS = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const

/** "1 d 2 h": the two largest units that are not zero. */
export function formatDuration(seconds: number): string {
  let rest = Math.max(0, Math.floor(seconds))
  const parts: string[] = []
  for (const [name, size] of SECONDS) {
    if (rest >= size && parts.length < 2) parts.push(`${Math.floor(rest / size)} ${name}`)
    rest %= size
  }
  return parts.join(' ') || '0 s'
}

/** "12.3 MB": decimal prefixes, three digits. */
export function formatBytes(bytes: number | bigint): string {
  let value = Number(bytes)
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (value < 1000) return `${value < 10 && unit !== 'B' ? value.toFixed(1) : Math.round(value)} ${unit}`
    value /= 1000
  }
  return `${value.toFixed(1)} TB`
}

/** "12 MB of 40 MB (30 %)"; a total of 0 is not known. */
export function formatPart(bytes: number | bigint, total: number | bigint): string {
  if (Number(total) === 0) return formatBytes(bytes)
  const percent = Math.min(100, Math.floor((Number(bytes) * 100) / Number(total)))
  return `${formatBytes(bytes)} of ${formatBytes(total)} (${percent} %)`
}

/** "cpu 500 mCPU": the largest unit that divides it. */
export function formatQuantity({
  name,
  quantity,
  selector,
}: {
  name: string
  quantity: bigint
  selector: string
}): string {
  const units = PRICED_RESOURCES.get(name)?.units ?? []
  const unit = units.find(({ size }) => quantity >= size && quantity % size === 0n)
  const amount = unit ? `${quantity / unit.size} ${unit.name}` : `${quantity}`
  const perHour = PRICED_RESOURCES.get(name)?.kind === PriceKind.USAGE ? ' per hour' : ''
  return `${name}${selector && ` (${selector})`} ${amount}${perHour}`
}

/** "1 container", "2 containers". */
export function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
