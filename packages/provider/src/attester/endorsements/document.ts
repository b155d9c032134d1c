/** A document that a processor's maker publishes, and how it is asked for. */
import type { Download } from './download.ts'

/** What a download came to, in the parts that evidence needs. */
export interface DocumentParts {
  readonly parts: readonly Uint8Array[]
  /** When it ends by its own words. */
  readonly goodUntil: Date
}

export interface Document extends DocumentParts {
  readonly fetchedAt: Date
}

export interface DocumentRequest {
  /** For logs: `VCEK`, `TCB info`. */
  readonly name: string
  readonly url: string
  /** Time after which a new one is fetched although this one is still good. */
  readonly refreshMs: number
  /** Makes parts of an answer. @throws TrustedPodsError where it is not the document or has ended. */
  read(download: Download, now: Date): DocumentParts | Promise<DocumentParts>
}
