/** Time that a pod is billed by: the machine's boot clock, which no wall clock step moves. Linux. */
import { readFileSync } from 'node:fs'

export interface BootClock {
  /** Names this boot; times of two boots cannot be compared. */
  readonly bootId: string
  /** Milliseconds since boot, suspended time included. */
  nowMs(): number
}

export function linuxBootClock(): BootClock {
  return {
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    nowMs() {
      const [seconds] = readFileSync('/proc/uptime', 'utf8').split(' ')
      return Math.round(Number(seconds) * 1000)
    },
  }
}
