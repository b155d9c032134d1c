/** Evidence and options as text, for a verifier in another place: bytes, dates, big numbers and maps come out as they went in. Pure. */
import type { AppraiseOptions } from '@trusted-pods/protocol/attestation/appraise.ts'
import { fromHex, toHex } from '@trusted-pods/protocol/bytes.ts'
import type { Evidence } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'

export interface Case {
  readonly evidence: Evidence
  readonly options: AppraiseOptions
}

export function packCase({ evidence, options }: Case): string {
  return JSON.stringify(pack({ evidence, options }))
}

/** Of what packCase made. */
export function unpackCase(text: string): Case {
  return unpack(JSON.parse(text)) as Case
}

/** Each value as [kind, content], so that no value can look like another. */
function pack(value: unknown): unknown {
  if (value instanceof Uint8Array) return ['bytes', toHex(value)]
  if (value instanceof Date) return ['date', value.getTime()]
  if (typeof value === 'bigint') return ['bigint', value.toString()]
  if (value instanceof Map) return ['map', pack([...value])]
  if (Array.isArray(value)) return ['list', value.map(pack)]
  if (typeof value !== 'object' || value === null) return ['plain', value]
  const defined = Object.entries(value).filter(([, held]) => held !== undefined)
  return ['object', Object.fromEntries(defined.map(([key, held]) => [key, pack(held)]))]
}

function unpack(packed: unknown): unknown {
  const [kind, content] = packed as [string, unknown]
  switch (kind) {
    case 'bytes':
      return fromHex(content as string)
    case 'date':
      return new Date(content as number)
    case 'bigint':
      return BigInt(content as string)
    case 'map':
      return new Map(unpack(content) as [unknown, unknown][])
    case 'list':
      return (content as unknown[]).map(unpack)
    case 'object':
      return Object.fromEntries(Object.entries(content as object).map(([key, held]) => [key, unpack(held)]))
    default:
      return content
  }
}
