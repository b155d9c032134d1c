/** What a PCK certificate says of its platform. Pure. Source: Intel SGX PCK Certificate and CRL Profile, 1.2.840.113741.1.13.1. */
import { boolean, der, integer, octetString, oid, sequence } from './der-writer.ts'
import { extension } from './development-certificate.ts'

const ARC = '1.2.840.113741.1.13.1'
const ENUMERATED = 0x0a
/** A platform with several packages: the kind that has an instance id. */
const SCALABLE = 1

export interface PckStatement {
  /** 16 bytes each. */
  readonly ppid: Uint8Array
  readonly svns: Uint8Array
  readonly platformInstanceId: Uint8Array
  readonly pceSvn: number
  readonly pceId: Uint8Array
  /** 6 bytes. */
  readonly fmspc: Uint8Array
}

export function pckExtension({ ppid, svns, platformInstanceId, pceSvn, pceId, fmspc }: PckStatement): Uint8Array {
  const field = (arc: string, value: Uint8Array) => sequence(oid(`${ARC}.${arc}`), value)
  const components = [...svns].map((svn, i) => field(`2.${i + 1}`, integer(svn)))
  const tcb = sequence(...components, field('2.17', integer(pceSvn)), field('2.18', octetString(svns)))
  const flag = (arc: string) => field(arc, boolean(false))
  return extension(
    ARC,
    sequence(
      field('1', octetString(ppid)),
      field('2', tcb),
      field('3', octetString(pceId)),
      field('4', octetString(fmspc)),
      field('5', der(ENUMERATED, new Uint8Array([SCALABLE]))),
      field('6', octetString(platformInstanceId)),
      field('7', sequence(flag('7.1'), flag('7.2'), flag('7.3'))),
    ),
    { critical: false },
  )
}
