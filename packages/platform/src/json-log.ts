/** Logs as JSON lines on a writable stream, one object a line: time, level, text, fields. */
import type { LogFields, Logger } from '@trusted-pods/protocol/logger.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'
const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error']

export interface JsonLogOptions {
  /** Lines below this level are dropped. */
  level?: Level
}

export function jsonLog(output: { write(line: string): unknown }, { level = 'info' }: JsonLogOptions = {}): Logger {
  const write = (at: Level, text: string, fields: LogFields = {}) => {
    if (LEVELS.indexOf(at) < LEVELS.indexOf(level)) return
    const line = { time: new Date().toISOString(), level: at, text, ...fields }
    output.write(`${JSON.stringify(line, (_, value) => (typeof value === 'bigint' ? value.toString() : value))}\n`)
  }
  return {
    debug: (text, fields) => write('debug', text, fields),
    info: (text, fields) => write('info', text, fields),
    warn: (text, fields) => write('warn', text, fields),
    error: (text, fields) => write('error', text, fields),
  }
}
