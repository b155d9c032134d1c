/**
 * Where a stranger may have this machine connect to: names are looked up here and once, every address that a name has must be allowed, and
 * it is the address that was checked that is dialled. Spec: spec/IMAGES.md#sources-of-blocks.
 */
import { type LookupAddress, type LookupOptions, promises } from 'node:dns'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { isPublicAddress } from './public-address.ts'

/** Below lie mail, shells and what else was never meant to be spoken to by strangers through us. */
const FIRST_FREE_PORT = 1024
const HTTPS_PORT = 443

export interface DialGuard {
  /** Addresses to dial, each allowed. @throws TrustedPodsError PROVISION_IMAGE_FETCH, the same for whatever is there. */
  resolve(host: string, port: number): Promise<readonly LookupAddress[]>
}

export interface DialGuardOptions {
  /** Every address and port is allowed: for tests, and fleets in a network of their own. */
  readonly allowPrivate: boolean
  /** All addresses of a name; the system's resolver unless a test says otherwise. */
  readonly lookup?: (host: string, options: LookupOptions & { all: true }) => Promise<LookupAddress[]>
}

export function createDialGuard({ allowPrivate, lookup = promises.lookup }: DialGuardOptions): DialGuard {
  return {
    async resolve(host, port) {
      if (!allowPrivate && port !== HTTPS_PORT && port < FIRST_FREE_PORT)
        throw refused(`port ${port} of ${host} is not dialled: only ${HTTPS_PORT} and ${FIRST_FREE_PORT} to 65535 are`)
      const addresses = await addressesOf(host, lookup)
      const isAllowed = ({ address }: LookupAddress) => allowPrivate || (isPublicAddress(address) && !isOwn(address))
      // One message for a private address and for none: which names this machine's resolver knows is nobody's business.
      if (addresses.length === 0 || !addresses.every(isAllowed))
        throw refused(`${host} is not dialled: it has no public address, or not only public ones`)
      return addresses
    },
  }
}

async function addressesOf(host: string, lookup: NonNullable<DialGuardOptions['lookup']>): Promise<LookupAddress[]> {
  const family = isIP(host)
  if (family === 0) return lookup(host, { all: true }).catch(() => [])
  return [{ address: family === 6 ? new URL(`http://[${host}]`).hostname.slice(1, -1) : host, family }]
}

/** What listens on a public address of this machine may let in only itself. */
function isOwn(address: string): boolean {
  return Object.values(networkInterfaces()).some((each) => each?.some((own) => own.address === address))
}

function refused(message: string): TrustedPodsError {
  return new TrustedPodsError('PROVISION_IMAGE_FETCH', message)
}
