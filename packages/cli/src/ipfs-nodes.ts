/** IPFS nodes of the user's own: the one that new images go to, and those in which earlier ones lie. */
import { type IpfsNode, openIpfsNode } from '@trusted-pods/platform/ipfs-node/kubo-node.ts'
import { loadSecret } from '@trusted-pods/platform/secret-file.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Command } from 'commander'
import { type Config, loadConfig } from './config.ts'
import type { Context } from './context.ts'

export interface IpfsFlags {
  ipfsApi?: string
  ipfsApiAuthFile?: string
}

export interface IpfsNodes {
  /** Where new images go; undefined: into the store's own folder. */
  chosen(): Promise<IpfsNode | undefined>
  /** The one at this address. */
  at(url: string): Promise<IpfsNode>
}

/** Options of every command that stores an image. */
export function addIpfsOptions(command: Command): Command {
  return command
    .option('--ipfs-api <url>', 'keep blocks in this IPFS node (Kubo’s RPC API), not in a folder of ours')
    .option(
      '--ipfs-api-auth-file <file>',
      'what that node wants to be shown: bearer:TOKEN or basic:USER:PASSWORD, mode 600',
    )
}

/** Nothing is read or asked before it is needed; each node is opened once. */
export function ipfsNodes({ configPath, signal }: Pick<Context, 'configPath' | 'signal'>, flags: IpfsFlags): IpfsNodes {
  const opened = new Map<string, Promise<IpfsNode>>()
  const open = (url: URL, config: Config) => {
    const node = opened.get(url.href) ?? openAt(url, authFileFor(url, flags, config), signal)
    opened.set(url.href, node)
    return node
  }
  return {
    async chosen() {
      const config = await loadConfig(configPath)
      const url = chosenUrl(flags, config)
      return url && open(url, config)
    },
    at: async (url) => open(parseUrl(url), await loadConfig(configPath)),
  }
}

/** A secret goes to the node that it was given for, and to no other. */
function authFileFor({ href }: URL, flags: IpfsFlags, { ipfsApi, ipfsApiAuthFile }: Config): string | undefined {
  if (flags.ipfsApi !== undefined && parseUrl(flags.ipfsApi).href === href && flags.ipfsApiAuthFile !== undefined)
    return flags.ipfsApiAuthFile
  return ipfsApi !== undefined && parseUrl(ipfsApi).href === href
    ? (flags.ipfsApiAuthFile ?? ipfsApiAuthFile)
    : undefined
}

function chosenUrl({ ipfsApi }: IpfsFlags, config: Config): URL | undefined {
  const text = ipfsApi ?? config.ipfsApi
  return text === undefined ? undefined : parseUrl(text)
}

function parseUrl(text: string): URL {
  if (/^https?:\/\/[^@]+$/.test(text) && URL.canParse(text)) return new URL(text)
  // A password in it would otherwise stand in a log.
  const seen = text.includes('@') ? 'an address with an @' : text.slice(0, 200)
  throw new TrustedPodsError(
    'PLATFORM_CONFIG',
    `${seen} is no address of an IPFS node’s API, wanted one like http://127.0.0.1:5001; secrets go into ipfsApiAuthFile`,
  )
}

async function openAt(url: URL, authFile: string | undefined, signal: AbortSignal): Promise<IpfsNode> {
  const authSecret = authFile === undefined ? undefined : await readAuth(authFile)
  return openIpfsNode({ url, authSecret, signal })
}

async function readAuth(path: string): Promise<string> {
  const bytes = await loadSecret(path)
  if (!bytes)
    throw new TrustedPodsError('PLATFORM_CONFIG', `${path}, which should hold the IPFS node’s secret, is not there`)
  return Buffer.from(bytes).toString('utf8').trim()
}
