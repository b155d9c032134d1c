/**
 * The parent cgroup of a pod: its counters hold what containers used that have ended since. Read where the cgroup file
 * system is at hand, v1 or v2. I/O.
 */
import { readdir, readFile, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { PodUsage } from './pod-runtime.ts'

const ROOT = '/sys/fs/cgroup'

/** Controllers that an engine makes a folder for, in v1; v2 has one tree. */
const V1_CONTROLLERS = [
  'blkio',
  'cpu',
  'cpu,cpuacct',
  'cpuacct',
  'cpuset',
  'devices',
  'freezer',
  'hugetlb',
  'memory',
  'misc',
  'net_cls',
  'net_cls,net_prio',
  'net_prio',
  'perf_event',
  'pids',
  'rdma',
  'systemd',
  'unified',
]

/** What the engine says of its cgroups. */
export interface CgroupSupport {
  /** cgroupfs, systemd or none. */
  readonly driver: string
  readonly isRootless: boolean
}

/** As HostConfig.CgroupParent wants it; undefined where the engine's driver allows none. Pure. */
export function cgroupParentOf(
  owner: string,
  podId: string,
  { driver, isRootless }: CgroupSupport,
): string | undefined {
  if (isRootless) return undefined
  if (driver === 'cgroupfs') return `/trusted-pods/${owner}/${podId.slice(0, 16)}`
  return driver === 'systemd' ? `tpods-${podId.slice(0, 16)}.slice` : undefined
}

/** Counters since the pod was made; a field is absent where the machine does not show it. */
export async function readUsage(parent: string): Promise<PodUsage> {
  const path = pathOf(parent)
  const nanos = await readCounter(join(ROOT, 'cpuacct', path, 'cpuacct.usage'))
  const micros = nanos === undefined ? await readCpuStat(join(ROOT, path, 'cpu.stat')) : nanos / 1000n
  const peak =
    (await readCounter(join(ROOT, 'memory', path, 'memory.max_usage_in_bytes'))) ??
    (await readCounter(join(ROOT, path, 'memory.peak')))
  return { ...(micros !== undefined && { cpuMicros: micros }), ...(peak !== undefined && { memoryPeakBytes: peak }) }
}

/** Engines leave the parent behind, and one that was killed its containers' too: removes what is empty, and the empty folders above. */
export async function removeCgroup(parent: string): Promise<void> {
  const path = pathOf(parent)
  for (const root of [ROOT, ...V1_CONTROLLERS.map((controller) => join(ROOT, controller))]) {
    for (const child of await foldersIn(join(root, path))) await removeFolder(join(root, path, child))
    for (let folder = path; folder !== '.' && folder !== '/'; folder = dirname(folder)) {
      if (!(await removeFolder(join(root, folder)))) break
    }
  }
}

/** A slice `a-b.slice` lies in `a.slice` (systemd.slice(5)). */
function pathOf(parent: string): string {
  if (!parent.endsWith('.slice')) return parent
  const parts = parent.slice(0, -'.slice'.length).split('-')
  return join('/', ...parts.map((_, i) => `${parts.slice(0, i + 1).join('-')}.slice`))
}

async function foldersIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  } catch {
    // No such controller, or no such pod in it.
    return []
  }
}

async function removeFolder(folder: string): Promise<boolean> {
  try {
    await rmdir(folder)
    return true
  } catch {
    // Not there, or still the parent of another pod's cgroup.
    return false
  }
}

async function readCounter(file: string): Promise<bigint | undefined> {
  const text = (await readFile(file, 'utf8').catch(() => '')).trim()
  return /^\d+$/.test(text) ? BigInt(text) : undefined
}

async function readCpuStat(file: string): Promise<bigint | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '')
  const micros = /^usage_usec (\d+)$/m.exec(text)?.[1]
  return micros === undefined ? undefined : BigInt(micros)
}
