/** What a library logs to: constant text, facts as fields, never a secret. Pure. */

export type LogFields = Record<string, string | number | bigint | boolean | undefined>

export interface Logger {
  debug(text: string, fields?: LogFields): void
  info(text: string, fields?: LogFields): void
  warn(text: string, fields?: LogFields): void
  error(text: string, fields?: LogFields): void
}
