import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lookUpUser } from './pod-secrets.ts'

test('a user’s id is the third field of his line of /etc/passwd', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\napp:x:1234:99::/:\nodd:x:-1:0::/:\nshort\n'
  assert.equal(lookUpUser(passwd, 'root'), '0')
  assert.equal(lookUpUser(passwd, 'app'), '1234')
  for (const name of ['odd', 'short', 'x', 'nobody']) assert.equal(lookUpUser(passwd, name), undefined, name)
  for (let length = 0; length < passwd.indexOf(':99'); length++) {
    const uid = lookUpUser(passwd.slice(0, length), 'app')
    assert.ok(uid === undefined || '1234'.startsWith(uid), `cut at ${length}`)
  }
})
