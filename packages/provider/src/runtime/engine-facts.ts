/** What an engine says of its machine and of itself (Engine API, SystemInfo). I/O. */
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { numberAt, recordAt, textAt, textsAt } from '@trusted-pods/platform/engine/json-view.ts'
import type { CgroupSupport } from './pod-cgroup.ts'

export interface EngineFacts {
  readonly cpuMillis: bigint
  readonly memoryBytes: bigint
  /** Folder of all that the engine holds, on its own machine. */
  readonly dataRoot: string
  /** OCI runtimes by name: runc, runsc. */
  readonly runtimes: readonly string[]
  readonly cgroups: CgroupSupport
}

export async function readEngineFacts(
  engine: Engine,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<EngineFacts> {
  const { value } = await engine.ask({ path: '/info', signal })
  return {
    cpuMillis: BigInt(Math.trunc(numberAt(value, 'NCPU'))) * 1000n,
    memoryBytes: BigInt(Math.trunc(numberAt(value, 'MemTotal'))),
    dataRoot: textAt(value, 'DockerRootDir'),
    runtimes: Object.keys(recordAt(value, 'Runtimes')),
    cgroups: {
      driver: textAt(value, 'CgroupDriver'),
      isRootless: textsAt(value, 'SecurityOptions').some((option) => option.startsWith('name=rootless')),
    },
  }
}
