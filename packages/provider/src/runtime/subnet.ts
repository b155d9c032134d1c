/** IPv4 networks in CIDR notation and which of them are free. Pure. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'

export interface Subnet {
  /** First address, 0 to 2^32 - 1. */
  readonly base: number
  /** Length of the prefix, 0 to 32. */
  readonly prefix: number
}

/** undefined: not IPv4 in CIDR notation. Bits past the prefix are cut off. */
export function parseSubnet(text: string): Subnet | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text)
  const [octets, prefix] = [(match ?? []).slice(1, 5).map(Number), Number(match?.[5] ?? Number.NaN)]
  if (octets.length !== 4 || octets.some((octet) => octet > 255) || !(prefix <= 32)) return undefined
  const address = octets.reduce((sum, octet) => sum * 256 + octet, 0)
  return { base: Math.floor(address / sizeOf(prefix)) * sizeOf(prefix), prefix }
}

export function formatSubnet({ base, prefix }: Subnet): string {
  return `${[24, 16, 8, 0].map((shift) => (base >>> shift) & 255).join('.')}/${prefix}`
}

export function overlaps(a: Subnet, b: Subnet): boolean {
  return a.base < b.base + sizeOf(b.prefix) && b.base < a.base + sizeOf(a.prefix)
}

/** Subnets of /proc/net/route but the default one: columns 2 and 8 are destination and mask, little-endian hex. */
export function parseRoutes(table: string): Subnet[] {
  const rows = table.trim().split('\n').slice(1)
  return rows.flatMap((row) => {
    const columns = row.split('\t')
    const [base, mask] = [fromLittleEndian(columns[1]), fromLittleEndian(columns[7])]
    if (base === undefined || mask === undefined || mask === 0) return []
    return [{ base, prefix: mask.toString(2).replaceAll('0', '').length }]
  })
}

export interface SubnetChoice {
  /** Of the subnet. */
  readonly prefix: number
  readonly start: number
  readonly taken: readonly Subnet[]
  /** Free again and perhaps still taken for somebody else's, longest free first: chosen only when nothing else is free. */
  readonly freed: readonly Subnet[]
}

/** The first subnet of `prefix` in `network` that overlaps none of `taken`, from the `start`-th on and round.
 * @throws TrustedPodsError PROVISION_RUNTIME when all are taken. */
export function freeSubnet(network: Subnet, { prefix, start, taken, freed }: SubnetChoice): Subnet {
  const count = sizeOf(network.prefix) / sizeOf(prefix)
  const isFree = (subnet: Subnet, others: readonly Subnet[]) => !others.some((other) => overlaps(subnet, other))
  for (let i = 0; i < count; i++) {
    const subnet = { base: network.base + ((start + i) % count) * sizeOf(prefix), prefix }
    if (isFree(subnet, taken) && isFree(subnet, freed)) return subnet
  }
  const again = freed.find((subnet) => subnet.prefix === prefix && overlaps(subnet, network) && isFree(subnet, taken))
  if (again) return again
  throw new TrustedPodsError('PROVISION_RUNTIME', `no /${prefix} is free in ${formatSubnet(network)} for another pod`)
}

function sizeOf(prefix: number): number {
  return 2 ** (32 - prefix)
}

function fromLittleEndian(hex: string | undefined): number | undefined {
  if (!hex || !/^[0-9A-F]{8}$/i.test(hex)) return undefined
  return Number.parseInt((hex.match(/../g) ?? []).reverse().join(''), 16)
}
