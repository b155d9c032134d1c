/** Which pod an HTTP host is served by. A host is one pod's until that pod gives it up, and a pod that gave it up has ended. Pure. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { hostOf } from './forward-headers.ts'
import type { RouteTarget } from './upstream.ts'

/** 4096 hosts of ended pods are remembered: a call that comes late comes within seconds of the end. */
const MAX_ENDED = 4096

export interface PodTarget extends RouteTarget {
  /** Pod id; absent: a route that belongs to no pod. */
  readonly podId: string
}

export interface Route {
  target: RouteTarget
  readonly podId: string
  /** Requests under way. */
  inFlight: number
}

export class Routes {
  readonly #routes = new Map<string, Route>()
  /** `<pod id> <host>`, oldest first. */
  readonly #ended = new Set<string>()

  /** The route of a Host header. */
  find(header: string | undefined): Route | undefined {
    return this.#routes.get(hostOf(header) ?? '')
  }

  /** Nothing happens for a pod that gave the host up before.
   * @throws TrustedPodsError PROVISION_BAD_POD for what is no host name, QUOTE_HOST_TAKEN while another pod has it. */
  set(httpHost: string, { podId, ...target }: PodTarget): void {
    const host = requireHost(httpHost)
    if (this.#ended.has(`${podId} ${host}`)) return
    const route = this.#routes.get(host)
    if (!route) {
      this.#routes.set(host, { target, podId, inFlight: 0 })
    } else if (route.podId === podId) {
      route.target = target
    } else {
      throw new TrustedPodsError('QUOTE_HOST_TAKEN', `host ${host} is served by another pod here`)
    }
  }

  /** Takes the host from this pod until it is set again: for one that is suspended. */
  pause(httpHost: string, podId: string): void {
    const host = hostOf(httpHost) ?? ''
    if (this.#routes.get(host)?.podId === podId) this.#routes.delete(host)
  }

  /** Takes the host from this pod, for good; that of another pod stays. */
  remove(httpHost: string, podId: string): void {
    const host = hostOf(httpHost) ?? ''
    this.pause(host, podId)
    this.#ended.add(`${podId} ${host}`)
    const [oldest] = this.#ended
    if (this.#ended.size > MAX_ENDED && oldest !== undefined) this.#ended.delete(oldest)
  }
}

function requireHost(httpHost: string): string {
  const host = hostOf(httpHost)
  if (host !== undefined) return host
  throw new TrustedPodsError(
    'PROVISION_BAD_POD',
    `"${httpHost.slice(0, 80)}" is no HTTP host, a name without a port is wanted`,
  )
}
