/** `openssl speed` of the same run, where the program is there: what other reports give as the floor. */
import { spawnSync } from 'node:child_process'

export interface SpeedMs {
  readonly p384: number
  readonly p256: number
  readonly rsa4096: number
}

export function opensslSpeed(): SpeedMs | undefined {
  const args = ['speed', '-mr', '-seconds', '2', 'ecdsap384', 'ecdsap256', 'rsa4096']
  const { status, stdout } = spawnSync('openssl', args, { encoding: 'utf8' })
  if (status !== 0) return undefined
  // Machine-readable, per second: +F4:index:bits:signatures:verifications, and +F2 for RSA.
  const verifyMs = (prefix: string, bits: string) => {
    const line = stdout.split('\n').find((text) => text.startsWith(prefix) && text.split(':')[2] === bits)
    return 1000 / Number(line?.split(':')[4])
  }
  const speed = { p384: verifyMs('+F4', '384'), p256: verifyMs('+F4', '256'), rsa4096: verifyMs('+F2', '4096') }
  if (Object.values(speed).some((value) => !(value > 0))) return undefined
  return speed
}
