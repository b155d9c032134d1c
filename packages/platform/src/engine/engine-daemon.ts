/**
 * The command and settings of an embedded dockerd: its own data, sockets and settings below one folder, no bridge of its
 * own, and a mount namespace of its own, so that whatever way it ends the machine keeps no mount of it. Pure but for
 * `writeDaemonSettings`.
 */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface DaemonPaths {
  readonly folder: string
  /** Holds sockets: the folder itself, or a short one of its own that goes with the engine. */
  readonly volatile: string
  readonly data: string
  readonly exec: string
  /** Becomes `/` of the daemon where the machine's own `/` is not a mount point. */
  readonly root: string
  readonly socket: string
  readonly pidFile: string
  readonly settings: string
  readonly log: string
}

/** 107: a unix socket's path in bytes, sun_path of unix(7) less its closing zero. */
const MAX_SOCKET_PATH = 107

/** Sockets lie beside the data; below /run, under a name made of the folder's, where its path is too long for them. */
export function daemonPaths(folder: string): DaemonPaths {
  const volatile = fitsSockets(folder) ? folder : `/run/trusted-pods-${shortHash(folder)}`
  return {
    folder,
    volatile,
    data: join(folder, 'data'),
    exec: join(volatile, 'exec'),
    root: join(folder, 'root'),
    socket: join(volatile, 'engine.sock'),
    pidFile: join(folder, 'dockerd.pid'),
    settings: join(folder, 'daemon.json'),
    log: join(folder, 'dockerd.log'),
  }
}

function fitsSockets(folder: string): boolean {
  return Buffer.byteLength(join(folder, 'exec/containerd/containerd-debug.sock')) <= MAX_SOCKET_PATH
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12)
}

export interface DaemonSettings {
  /** Whether dockerd writes the machine's iptables; a start of it empties the chains of every other dockerd. */
  readonly iptables: boolean
  /** Absolute path of gVisor's runtime, where there is one. */
  readonly runsc?: string | undefined
}

/** Makes the folders (0700) and the settings file; the machine's own /etc/docker/daemon.json is not read. */
export async function writeDaemonSettings(paths: DaemonPaths, settings: DaemonSettings): Promise<void> {
  for (const folder of [paths.folder, paths.volatile]) await mkdir(folder, { recursive: true, mode: 0o700 })
  for (const folder of [paths.data, paths.exec, paths.root]) await mkdir(folder, { recursive: true, mode: 0o711 })
  const runtimes = settings.runsc ? { runsc: { path: settings.runsc, runtimeArgs: ['--network=host'] } } : {}
  const json = {
    bridge: 'none',
    iptables: settings.iptables,
    'cgroup-parent': '/trusted-pods',
    'exec-opts': ['native.cgroupdriver=cgroupfs'],
    'default-address-pools': [{ base: '10.212.0.0/16', size: 28 }],
    'shutdown-timeout': 5,
    runtimes,
  }
  await writeFile(paths.settings, JSON.stringify(json, undefined, 2), { mode: 0o600 })
}

/**
 * Program and arguments. dockerd and runc pivot their root and so need `/` to be a mount point, which it is not inside a
 * plain chroot: there `/` is bound to a folder that becomes the daemon's root.
 */
export function daemonCommand(dockerd: string, paths: DaemonPaths, rootIsMountPoint: boolean): [string, string[]] {
  const daemon = [
    dockerd,
    `--config-file=${paths.settings}`,
    `--data-root=${paths.data}`,
    `--exec-root=${paths.exec}`,
    `--pidfile=${paths.pidFile}`,
    `--host=unix://${paths.socket}`,
  ]
  if (rootIsMountPoint) return ['unshare', ['--mount', '--propagation', 'slave', ...daemon]]
  const script = 'mount --rbind / "$0" && mount --make-rslave "$0" && exec chroot "$0" "$@"'
  return ['unshare', ['--mount', '--propagation', 'unchanged', 'sh', '-c', script, paths.root, ...daemon]]
}
