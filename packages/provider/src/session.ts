/** Which statement was made on which connection: a pod is opened only in the session that its sender attested. */
import type { Connection } from '@libp2p/interface'
import { equalBytes } from '@trusted-pods/protocol/bytes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { SESSION_LIFETIME_MS } from '@trusted-pods/protocol/wire/protocols.ts'

interface Session {
  /** SHA-256 of REPORT_DATA. */
  readonly id: Uint8Array
  readonly madeAtMs: number
}

/** Sessions live and die with their connection; the last statement made on it counts. */
export class SessionTable {
  readonly #sessions = new WeakMap<Connection, Session>()

  begin(connection: Connection, id: Uint8Array): void {
    this.#sessions.set(connection, { id, madeAtMs: performance.now() })
  }

  /** @throws TrustedPodsError ATTEST_REQUIRED when no such statement was made on this connection, or too long ago. */
  require(connection: Connection, id: Uint8Array): void {
    const session = this.#sessions.get(connection)
    if (!session || !equalBytes(session.id, id)) {
      throw new TrustedPodsError(
        'ATTEST_REQUIRED',
        'no statement with this session was made on this connection: attest first',
      )
    }
    if (performance.now() - session.madeAtMs > SESSION_LIFETIME_MS) {
      throw new TrustedPodsError(
        'ATTEST_REQUIRED',
        `the session is older than ${SESSION_LIFETIME_MS / 60_000} minutes: attest again`,
      )
    }
  }
}
