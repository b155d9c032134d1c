/** The provider's HTTP front: a request goes to the pod that its Host names. I/O. Spec: docs/runtime.md#front. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { proxyRequest, refuse } from './proxy-request.ts'
import { proxyUpgrade, refuseUpgrade } from './proxy-upgrade.ts'
import { type PodTarget, type Route, Routes } from './routes.ts'

/** 256 open requests of one host: a flood of one tenant leaves the others their share. */
const MAX_IN_FLIGHT = 256

/** 10000 connections of clients; a process has 65536 file descriptors and needs two for each. */
const MAX_CONNECTIONS = 10_000

/** 30 s for a request's headers, 5 min without a byte either way: slow clients do not hold connections for ever. */
const HEADERS_TIMEOUT_MS = 30_000
const IDLE_TIMEOUT_MS = 300_000

/** 10 min without a byte either way on a WebSocket: those that are alive ping, and a proxy on the way seldom waits as long. */
const UPGRADED_IDLE_MS = 600_000

export interface FrontOptions {
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  readonly log: Logger
  /** How long a WebSocket may be silent; 10 min. */
  readonly upgradedIdleMs?: number
}

export interface Front {
  /** Where it listens. */
  readonly address: { readonly host: string; readonly port: number }
  /** Requests with this Host go there from now on; case does not matter, no port in it. Those under way are not touched.
   * Nothing happens for a pod whose route was removed. @throws TrustedPodsError PROVISION_BAD_POD for what is no host name,
   * QUOTE_HOST_TAKEN while it is another pod's. */
  setRoute(httpHost: string, target: PodTarget): void
  /** Takes the host from this pod until it is set again. */
  pauseRoute(httpHost: string, podId: string): void
  /** Takes the host from this pod, for good; nothing happens to another pod's. */
  removeRoute(httpHost: string, podId: string): void
  /** Breaks off what is under way. */
  close(): Promise<void>
}

/** @throws TrustedPodsError PLATFORM_CONFIG when the address is taken or not this machine's. */
export async function startFront(options: FrontOptions): Promise<Front> {
  const { host, port, log, upgradedIdleMs = UPGRADED_IDLE_MS } = options
  const routes = new Routes()
  // Sockets that became WebSockets are no longer the server's own.
  const upgraded = new Set<Duplex>()
  const server = createFrontServer(routes, { log, upgraded, upgradedIdleMs })
  await listen(server, { host, port })
  const bound = server.address()
  const address = { host, port: typeof bound === 'object' && bound ? bound.port : port }
  log.info('HTTP front listens', address)
  return {
    address,
    setRoute: (httpHost, target) => routes.set(httpHost, target),
    pauseRoute: (httpHost, podId) => routes.pause(httpHost, podId),
    removeRoute: (httpHost, podId) => routes.remove(httpHost, podId),
    close: () => closeServer(server, upgraded),
  }
}

function createFrontServer(
  routes: Routes,
  { log, upgraded, upgradedIdleMs }: { log: Logger; upgraded: Set<Duplex>; upgradedIdleMs: number },
): Server {
  const isWebSocket = ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === 'websocket'
  const server = createServer({
    requestTimeout: 0,
    headersTimeout: HEADERS_TIMEOUT_MS,
    shouldUpgradeCallback: isWebSocket,
  })
  server.maxConnections = MAX_CONNECTIONS
  server.setTimeout(IDLE_TIMEOUT_MS)
  // Nothing may be left open: the client would wait for ever.
  const failed = (exchange: Duplex | ServerResponse) => (error: unknown) => {
    log.error('HTTP front failed on a request', { error: String(error) })
    exchange.destroy()
  }
  server.on('request', (request, response) => void onRequest(routes, request, response).catch(failed(response)))
  server.on('upgrade', (request, socket, head) => {
    // A client that breaks off closes the socket, which ends the exchange.
    socket.on('error', () => {})
    // The server has taken its own time limits off.
    if (socket instanceof Socket) socket.setTimeout(upgradedIdleMs, () => socket.destroy())
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
    void onUpgrade(routes, request, { socket, head }).catch(failed(socket))
  })
  return server
}

async function onRequest(routes: Routes, request: IncomingMessage, response: ServerResponse) {
  const route = routeOf(routes, request)
  if (typeof route === 'number') refuse(response, route, REFUSALS[route])
  else await counted(route, () => proxyRequest(request, response, route.target))
}

async function onUpgrade(
  routes: Routes,
  request: IncomingMessage,
  { socket, head }: { socket: Duplex; head: Uint8Array },
): Promise<void> {
  const route = routeOf(routes, request)
  if (typeof route === 'number') refuseUpgrade(socket, route, REFUSALS[route])
  else await counted(route, () => proxyUpgrade(request, { socket, head }, route.target))
}

const REFUSALS = {
  400: 'a path on the host that Host names is wanted',
  421: 'no pod here serves this host',
  503: 'the pod has too many requests open',
} as const

/** Where the request goes, or the status that refuses it. */
function routeOf(routes: Routes, { headers, url }: IncomingMessage): Route | keyof typeof REFUSALS {
  const route = routes.find(headers.host)
  if (!route) return 421
  if (!url?.startsWith('/') && url !== '*') return 400
  return route.inFlight >= MAX_IN_FLIGHT ? 503 : route
}

async function counted(route: Route, exchange: () => Promise<void>): Promise<void> {
  route.inFlight++
  try {
    await exchange()
  } finally {
    route.inFlight--
  }
}

async function listen(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('listening', resolve).once('error', reject).listen(port, host)
  try {
    await promise
  } catch (error) {
    throw new TrustedPodsError('PLATFORM_CONFIG', `the HTTP front cannot listen on ${host}:${port}: ${String(error)}`, {
      cause: error,
    })
  }
}

async function closeServer(server: Server, upgraded: ReadonlySet<Duplex>): Promise<void> {
  const closed = new Promise<void>((settle) => server.close(() => settle()))
  server.closeAllConnections()
  for (const socket of upgraded) socket.destroy()
  await closed
}
