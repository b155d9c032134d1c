import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseChallenge } from './challenge.ts'

test('what registries send is read: Docker Hub, ghcr.io, distribution with htpasswd, ECR', () => {
  const cases: [string, object][] = [
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull"',
      {
        kind: 'bearer',
        realm: 'https://auth.docker.io/token',
        service: 'registry.docker.io',
        scope: 'repository:library/nginx:pull',
      },
    ],
    ['bearer realm=https://a/t, service=b', { kind: 'bearer', realm: 'https://a/t', service: 'b' }],
    ['Bearer realm="https://a/t?x=\\"y\\""', { kind: 'bearer', realm: 'https://a/t?x="y"' }],
    ['Basic realm="basic-realm"', { kind: 'basic' }],
    ['Basic realm="x", Bearer realm="https://a/t",service="s"', { kind: 'bearer', realm: 'https://a/t', service: 's' }],
    [
      'Bearer realm="https://a/t",scope="repository:a:pull,push",error="invalid_token"',
      { kind: 'bearer', realm: 'https://a/t', scope: 'repository:a:pull,push' },
    ],
  ]
  for (const [header, challenge] of cases) assert.deepEqual(parseChallenge(header), challenge, header)
})

test('what asks for neither is no challenge', () => {
  for (const header of [
    '',
    'Negotiate',
    'Bearer',
    'Bearer service="x"',
    'Digest realm="x"',
    `Basic ${'x'.repeat(5000)}`,
  ])
    assert.equal(parseChallenge(header), undefined, header)
  fc.assert(fc.property(fc.string(), (header) => void parseChallenge(header)))
})
