import assert from 'node:assert/strict'
import { syncBuiltinESMExports } from 'node:module'
import os, { type NetworkInterfaceInfo } from 'node:os'
import { test } from 'node:test'
import { createDialGuard } from './dial-guard.ts'

const names: Record<string, string[]> = {
  'good.example': ['1.1.1.1', '2606:4700::1111'],
  'inside.example': ['10.0.0.5'],
  'mixed.example': ['1.1.1.1', '127.0.0.1'],
  'metadata.example': ['169.254.169.254'],
  'mapped.example': ['::ffff:10.0.0.1'],
}
const lookup = async (host: string) =>
  (names[host] ?? []).map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
const guard = createDialGuard({ allowPrivate: false, lookup })

const refusedFor = (message: RegExp) => ({ code: 'PROVISION_IMAGE_FETCH', message })

test('a public address, and a name of public addresses, are dialled at what was checked', async () => {
  assert.deepEqual(await guard.resolve('8.8.8.8', 4001), [{ address: '8.8.8.8', family: 4 }])
  assert.deepEqual(
    (await guard.resolve('good.example', 443)).map(({ address }) => address),
    names['good.example'],
  )
})

test('private addresses are refused, whatever name they have, and so is a name that has one of them', async () => {
  for (const host of [
    '127.0.0.1',
    '::1',
    '169.254.169.254',
    'fd00:ec2::254',
    'inside.example',
    'mixed.example',
    'metadata.example',
    'mapped.example',
  ])
    await assert.rejects(guard.resolve(host, 4001), refusedFor(/is not dialled: it has no public address/), host)
})

test('ports of the system are refused but for https', async () => {
  for (const port of [22, 25, 80, 1023])
    await assert.rejects(guard.resolve('1.1.1.1', port), refusedFor(/port \d+ of 1\.1\.1\.1 is not dialled/))
  await guard.resolve('1.1.1.1', 1024)
})

test('a name that nobody has is refused in the same words', async () => {
  await assert.rejects(guard.resolve('nobody.example', 443), refusedFor(/is not dialled: it has no public address/))
})

test('an address of this machine is refused although it is public', async (t) => {
  const address = '2606:4700::1111'
  const own: NetworkInterfaceInfo = {
    address,
    family: 'IPv6',
    netmask: '',
    mac: '',
    internal: false,
    cidr: null,
    scopeid: 0,
  }
  t.mock.method(os, 'networkInterfaces', () => ({ eth0: [own] }))
  syncBuiltinESMExports()
  t.after(() => {
    t.mock.restoreAll()
    syncBuiltinESMExports()
  })
  for (const host of [address, '2606:4700:0000::1111', 'good.example'])
    await assert.rejects(guard.resolve(host, 443), refusedFor(/has no public address/), host)
})

test('where private sources are allowed everything is', async () => {
  const open = createDialGuard({ allowPrivate: true, lookup })
  assert.deepEqual(await open.resolve('inside.example', 22), [{ address: '10.0.0.5', family: 4 }])
  assert.deepEqual(await open.resolve('::1', 80), [{ address: '::1', family: 6 }])
})
