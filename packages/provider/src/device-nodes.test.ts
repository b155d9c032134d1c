import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { memoryLog } from '../../../test/support/memory-log.ts'
import { requireDeviceNodes } from './device-nodes.ts'
import type { Device } from './devices.ts'

const folder = mkdtempSync(join(tmpdir(), 'nodes-'))
after(() => rmSync(folder, { recursive: true }))
const link = join(folder, 'link')
symlinkSync('/dev/zero', link)
const file = join(folder, 'file')
writeFileSync(file, '')

const device = (id: string, paths: string[], control: string[] = []): Device => ({
  id,
  model: '',
  access: { kind: 'nodes', paths, control },
})

test('nodes that are devices of their own are good, also with a common control node; a missing one is told', async () => {
  const log = memoryLog()
  const cdi: Device = { id: 'c', model: '', access: { kind: 'cdi', name: 'a.b/c=d' } }
  await requireDeviceNodes([device('a', [link], ['/dev/null']), device('b', ['/dev/full'], ['/dev/null']), cdi], log)
  await requireDeviceNodes([device('a', [join(folder, 'none')])], log)
  assert.match(JSON.stringify(log), /node is missing/)
})

test('one device under two names, a folder, a file and a device as the control of another are PLATFORM_CONFIG', async () => {
  const refused = (message: RegExp, ...devices: Device[]) =>
    assertRefused('PLATFORM_CONFIG', message, () => requireDeviceNodes(devices, memoryLog()))
  await refused(/b is the same device as a/, device('a', ['/dev/zero']), device('b', [link]))
  await refused(/a has .*nodes-\w+, which is no character device/, device('a', [folder]))
  await refused(/a has .*file, which is no character device/, device('a', ['/dev/zero', file]))
  await refused(
    /b has a control node that is the device a/,
    device('a', ['/dev/zero']),
    device('b', ['/dev/full'], [link]),
  )
})
