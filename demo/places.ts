/** Where the demo keeps everything: one folder in the checkout, gone when it ends. */
import { join } from 'node:path'
import type { Logger } from '@trusted-pods/protocol/logger.ts'

export interface Places {
  /** The checkout. */
  readonly root: string
  readonly folder: string
  readonly engine: string
  readonly providerState: string
  readonly providerIdentity: string
  readonly providerJournal: string
  readonly providerConfig: string
  readonly publisherConfig: string
  readonly logs: string
}

/** @param folder by default `.demo` in the checkout. */
export function demoPlaces(root: string, folder: string = join(root, '.demo')): Places {
  const providerState = join(folder, 'provider', 'state')
  return {
    root,
    folder,
    engine: join(folder, 'engine'),
    providerState,
    providerIdentity: join(providerState, 'keys', 'identity.key'),
    providerJournal: join(providerState, 'journal.sqlite'),
    providerConfig: join(folder, 'provider', 'tpodserver.yaml'),
    publisherConfig: join(folder, 'publisher', 'trustedpods', 'config.yaml'),
    logs: join(folder, 'logs'),
  }
}

/** The demo tells its own story; what goes wrong comes as an error. */
export const quietLog: Logger = { debug() {}, info() {}, warn() {}, error() {} }
