import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseImagePlace } from './image-place.ts'
import { fullImageName, parseImageReference } from './image-reference.ts'

const CID = 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi'
const DIGEST = `sha256:${'ab'.repeat(32)}`

test('each scheme names its place; a text without one is a name', () => {
  const cases: [string, object][] = [
    ['nginx', { kind: 'name', name: 'nginx' }],
    ['localhost:5000/a/b:1', { kind: 'name', name: 'localhost:5000/a/b:1' }],
    ['docker-daemon:nginx:1.27', { kind: 'docker-daemon', name: 'nginx:1.27' }],
    ['docker://ghcr.io/a/b', { kind: 'docker', name: 'ghcr.io/a/b' }],
    ['oci:dir', { kind: 'oci', path: 'dir' }],
    ['oci:/a/b:v1', { kind: 'oci', path: '/a/b', tag: 'v1' }],
    ['oci:/a/b:docker.io/x:1', { kind: 'oci', path: '/a/b', tag: 'docker.io/x:1' }],
    ['oci-archive:a.tar:v1', { kind: 'oci-archive', path: 'a.tar', tag: 'v1' }],
    ['docker-archive:a.tar', { kind: 'docker-archive', path: 'a.tar' }],
    ['docker-archive:a.tar:acme/web:1', { kind: 'docker-archive', path: 'a.tar', name: 'acme/web:1' }],
  ]
  for (const [text, place] of cases) assert.deepEqual(parseImagePlace(text), place, text)
  for (const text of [`ipfs:${CID}`, `ipfs://${CID}`]) {
    const place = parseImagePlace(text)
    assert.equal(place?.kind === 'ipfs' && place.cid.toString(), CID)
  }
})

test('what names no place is none', () => {
  for (const text of [
    '',
    ' ',
    'Nginx',
    'oci:',
    'oci::v1',
    'oci:dir:',
    'oci:a\nb',
    'docker://',
    'docker://UPPER',
    'docker-daemon:',
    'docker-daemon:a b',
    'docker-archive:a.tar:Not A Name',
    'ipfs:',
    'ipfs:QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPBdG',
    'ipfs:nonsense',
    `ipfs:${CID}/path`,
  ])
    assert.equal(parseImagePlace(text), undefined, JSON.stringify(text))
})

test('no text makes the parsers throw', () => {
  fc.assert(
    fc.property(fc.string(), fc.constantFrom('', 'oci:', 'docker://', 'ipfs:', 'docker-archive:'), (text, scheme) => {
      parseImagePlace(scheme + text)
      fullImageName(text)
    }),
  )
})

test('a name is host, repository, tag and digest; the first part is a host where it looks like one', () => {
  const cases: [string, object][] = [
    ['nginx', { repository: 'nginx' }],
    ['acme/web:1', { repository: 'acme/web', tag: '1' }],
    ['localhost/web', { host: 'localhost', repository: 'web' }],
    ['ghcr.io/acme/web', { host: 'ghcr.io', repository: 'acme/web' }],
    ['10.0.0.1:5000/web:1', { host: '10.0.0.1:5000', repository: 'web', tag: '1' }],
    [`web:1@${DIGEST}`, { repository: 'web', tag: '1', digest: DIGEST }],
  ]
  for (const [text, reference] of cases) assert.deepEqual(parseImageReference(text), reference, text)
})

test('a short name in full', () => {
  const cases: [string, string][] = [
    ['nginx', 'docker.io/library/nginx:latest'],
    ['docker.io/library/nginx:latest', 'docker.io/library/nginx:latest'],
    ['acme/web:1', 'docker.io/acme/web:1'],
    ['localhost/web', 'localhost/web:latest'],
    [`ghcr.io/a/b:1@${DIGEST}`, `ghcr.io/a/b@${DIGEST}`],
  ]
  for (const [text, full] of cases) assert.equal(fullImageName(text), full)
})
