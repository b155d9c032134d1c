/** Where configuration and state lie: the XDG base directories. Pure. */
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

export type Environment = Readonly<Record<string, string | undefined>>

/** The configuration file: the flag, else $TRUSTEDPODS_CONFIG, else the XDG place. */
export function configPath(env: Environment, flag?: string): string {
  return flag ?? (env.TRUSTEDPODS_CONFIG || join(baseFolder(env, 'XDG_CONFIG_HOME', '.config'), 'config.yaml'))
}

/** Identity key, leases and blocks. */
export function stateFolder(env: Environment): string {
  return baseFolder(env, 'XDG_STATE_HOME', join('.local', 'state'))
}

/** What can be made again at any time. */
export function cacheFolder(env: Environment): string {
  return baseFolder(env, 'XDG_CACHE_HOME', '.cache')
}

/** The XDG specification: a path that is not absolute is to be ignored. */
function baseFolder(env: Environment, variable: string, fallback: string): string {
  const set = env[variable]
  return join(set && isAbsolute(set) ? set : join(env.HOME || homedir(), fallback), 'trustedpods')
}
