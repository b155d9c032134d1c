/** A runtime that holds pods in memory and waits wherever the test tells it to: for orders of events that an engine rarely shows. */
import type { ImageRef, PodObservation, PodRuntime, PodSpec } from '@trusted-pods/provider/runtime/pod-runtime.ts'

export interface MemoryRuntime extends PodRuntime {
  /** Pods that there are, and whether their containers run. */
  readonly pods: Map<string, 'running' | 'exited'>
  readonly images: Set<ImageRef>
  /** Pods whose volumes there are. */
  readonly volumes: Set<string>
  /** The next call of this method waits, having seen what it saw, until the function that comes back is called. */
  hold(method: 'apply' | 'observe' | 'remove'): { reached: Promise<void>; release: () => void }
  /** The next call of this method fails. */
  fail(method: 'apply' | 'observe' | 'remove'): void
}

export function memoryRuntime(): MemoryRuntime {
  const pods: MemoryRuntime['pods'] = new Map()
  const images: MemoryRuntime['images'] = new Set()
  const volumes: MemoryRuntime['volumes'] = new Set()
  const gates = new Map<string, { reached: () => void; released: Promise<void> }>()
  const failures = new Set<string>()
  const pass = async (method: string) => {
    const gate = gates.get(method)
    gates.delete(method)
    gate?.reached()
    await gate?.released
    if (failures.delete(method)) throw new Error(`${method} failed`)
  }
  const observe = (podId: string): PodObservation | undefined => {
    const state = pods.get(podId)
    return state && { podId, containers: [{ name: 'web', state, restarts: 0 }], address: '127.0.0.1', published: [] }
  }
  return {
    pods,
    images,
    volumes,
    hold(method) {
      const reached = Promise.withResolvers<void>()
      const released = Promise.withResolvers<void>()
      gates.set(method, { reached: reached.resolve, released: released.promise })
      return { reached: reached.promise, release: released.resolve }
    },
    fail: (method) => void failures.add(method),
    async apply(spec: PodSpec, { signal } = {}) {
      await pass('apply')
      signal?.throwIfAborted()
      for (const { image } of spec.containers) if (!images.has(image)) throw new Error(`no image ${image}`)
      pods.set(spec.podId, 'running')
      volumes.add(spec.podId)
      return observe(spec.podId) as PodObservation
    },
    async observe(podId) {
      const seen = observe(podId)
      await pass('observe')
      return seen
    },
    async remove(podId, options) {
      await pass('remove')
      pods.delete(podId)
      if (options.volumes) volumes.delete(podId)
    },
    list: async () => [...pods.keys()].map((podId) => observe(podId) as PodObservation),
    async pruneImages(keep) {
      for (const image of images) if (!keep.has(image)) images.delete(image)
    },
    describe: () => Promise.reject(new Error('not asked for')),
    importImage: () => Promise.reject(new Error('not asked for')),
    usage: async () => ({}),
    traffic: async () => undefined,
    setNetwork: async () => {},
    async *watch() {},
    async *logs() {},
  }
}
