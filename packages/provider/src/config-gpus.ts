/** The `gpus` of the configuration. Spec: docs/run-a-provider.md#gpus. */
import type { ConfigSection } from '@trusted-pods/platform/config-section.ts'
import type { Device } from './devices.ts'
import type { DeviceAccess } from './runtime/pod-runtime.ts'

/** A path below /dev; no part of it begins with a dot, so that none leads out of there. */
const NODE = /^\/dev(\/\w[\w.-]{0,60}){1,4}$/
/** vendor/class=name, as the Container Device Interface writes it. */
const CDI_NAME = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*=(?!all$)[A-Za-z0-9][\w.:-]*$/
/** The driver also knows words, and `all` would give every device to one pod. */
const NVIDIA_ID = /^([0-9]{1,3}|(GPU|MIG)-[A-Za-z0-9-]{1,59})$/

/** @throws TrustedPodsError PLATFORM_CONFIG naming the key; also when two devices share a name, or one has the other's node. */
export function readGpus(root: ConfigSection): Device[] {
  const section = root.section('gpus')
  const devices = (section?.keys() ?? []).map((id) =>
    readDevice(section?.section(id) ?? root.fail('gpus', 'is missing'), id),
  )
  const seen = new Map<string, string>()
  for (const { id, access } of devices) {
    for (const name of access.kind === 'nodes' ? access.paths : [JSON.stringify(access)]) {
      const other = seen.get(name)
      if (other !== undefined) section?.fail(id, `is the same device as ${other}`)
      seen.set(name, id)
    }
  }
  for (const { id, access } of devices) {
    const shared = access.kind === 'nodes' ? access.control.find((path) => seen.has(path)) : undefined
    if (shared !== undefined) section?.fail(id, `gives ${shared} to others, which is the device ${seen.get(shared)}`)
  }
  return devices
}

function readDevice(section: ConfigSection, id: string): Device {
  section.only('model', 'nvidia', 'cdi', 'nodes', 'control')
  return { id, model: section.optionalText('model') ?? '', access: readAccess(section) }
}

function readAccess(section: ConfigSection): DeviceAccess {
  const nvidia = section.scalar('nvidia')
  const cdi = section.optionalText('cdi')
  const paths = section.texts('nodes')
  if (Number(nvidia !== undefined) + Number(cdi !== undefined) + Number(paths.length > 0) !== 1)
    section.fail('nvidia, cdi or nodes', 'says how the engine hands it over: name one')
  if (nvidia !== undefined)
    return NVIDIA_ID.test(nvidia)
      ? { kind: 'nvidia', id: nvidia }
      : section.fail('nvidia', 'must be an index or a UUID')
  if (cdi !== undefined)
    return CDI_NAME.test(cdi)
      ? { kind: 'cdi', name: cdi }
      : section.fail('cdi', 'must be vendor/class=name of one device')
  const control = section.texts('control')
  for (const path of [...paths, ...control]) if (!NODE.test(path)) section.fail('nodes', 'must be paths below /dev')
  return { kind: 'nodes', paths, control }
}
