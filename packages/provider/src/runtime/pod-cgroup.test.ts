import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroupParentOf, readUsage } from './pod-cgroup.ts'

const podId = '0123456789abcdef'.repeat(4)

test('the parent cgroup is named as the engine’s driver wants it, or left out', () => {
  assert.equal(
    cgroupParentOf('me', podId, { driver: 'cgroupfs', isRootless: false }),
    '/trusted-pods/me/0123456789abcdef',
  )
  assert.equal(cgroupParentOf('me', podId, { driver: 'systemd', isRootless: false }), 'tpods-0123456789abcdef.slice')
  assert.equal(cgroupParentOf('me', podId, { driver: 'cgroupfs', isRootless: true }), undefined)
  assert.equal(cgroupParentOf('me', podId, { driver: 'none', isRootless: false }), undefined)
})

test('a pod that is not there has no counters', async () => {
  assert.deepEqual(await readUsage('/trusted-pods/nobody/0'), {})
  assert.deepEqual(await readUsage('tpods-0.slice'), {})
})
