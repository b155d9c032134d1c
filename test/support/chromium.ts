/**
 * Pages in a real Chromium, Debian's own, headless and driven by playwright-core. A page has an origin on 127.0.0.1 and can reach
 * nothing but its own scripts: what it then does, it does without the network.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { findProgram } from '@trusted-pods/platform/engine/find-program.ts'
import { type Browser, chromium, type Page } from 'playwright-core'

/** Why there is no browser; undefined: there is one. For the `skip` of a test. */
export async function missingChromium(): Promise<string | undefined> {
  const program = await findProgram('chromium')
  return program === undefined ? 'no chromium on this machine: apt-get install chromium' : undefined
}

export interface WebPage extends AsyncDisposable {
  readonly page: Page
  /** What the page threw and nobody caught, and what the browser refused. */
  readonly errors: readonly string[]
}

export interface WebPageOptions {
  /** ES modules by name, run in their order. */
  readonly scripts: Readonly<Record<string, string>>
  /** Origins that the page may speak to; none unless given. */
  readonly connect?: readonly string[]
}

/** Opens an empty page with the scripts, and waits until they have run. */
export async function openWebPage({ scripts, connect = [] }: WebPageOptions): Promise<WebPage> {
  await using resources = new AsyncDisposableStack()
  const server = await serve(scripts, connect)
  resources.defer(() => closeServer(server))
  const browser = await launch()
  resources.defer(() => browser.close())
  const page = await browser.newPage()
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(error.message))
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()))
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, { waitUntil: 'load' })
  const owned = resources.move()
  return { page, errors, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function launch(): Promise<Browser> {
  const executablePath = await findProgram('chromium')
  if (executablePath === undefined) throw new Error('no chromium on this machine')
  // Chromium's sandbox refuses to run as root, as tests in containers do.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  return await chromium.launch({ executablePath, headless: true, args })
}

/** Scripts of the own origin and an icon of no bytes, and nothing else: no connection, no eval, no frame. */
const POLICY = "default-src 'none'; script-src 'self'; img-src data:"

async function serve(scripts: Readonly<Record<string, string>>, connect: readonly string[]): Promise<Server> {
  const policy = connect.length === 0 ? POLICY : `${POLICY}; connect-src ${connect.join(' ')}`
  const tags = Object.keys(scripts).map((name) => `<script type="module" src="/${name}"></script>`)
  const html = `<!doctype html><title>test</title><link rel="icon" href="data:,">${tags.join('')}`
  const server = createServer(({ url = '/' }, response) => {
    const name = url.slice(1)
    const script = Object.hasOwn(scripts, name) ? scripts[name] : undefined
    const [status, type, body] =
      script !== undefined
        ? [200, 'text/javascript', script]
        : name === ''
          ? [200, 'text/html', html]
          : [404, 'text/plain', '']
    response.writeHead(status, { 'content-type': `${type}; charset=utf-8`, 'content-security-policy': policy })
    response.end(body)
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject).listen(0, '127.0.0.1', resolve)
  await promise
  return server
}

async function closeServer(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve())
  server.closeAllConnections()
  await promise
}
