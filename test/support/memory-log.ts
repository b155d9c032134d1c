/** A log that a test can look into. */
import type { LogFields, Logger } from '@trusted-pods/protocol/logger.ts'

export interface LogEntry {
  level: string
  text: string
  fields: LogFields
}

export function memoryLog(): Logger & { entries: LogEntry[] } {
  const entries: LogEntry[] = []
  const at =
    (level: string) =>
    (text: string, fields: LogFields = {}) => {
      entries.push({ level, text, fields })
    }
  return { entries, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
