import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_DOCUMENT_BYTES, parseImageConfig, parseImageManifest, parseIndex } from './oci-documents.ts'

const DIGEST = `sha256:${'0a'.repeat(32)}`
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const LAYER = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted', digest: DIGEST, size: 7 }
const CONFIG = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: DIGEST, size: 5 }
const MANIFEST = { schemaVersion: 2, mediaType: MANIFEST_TYPE, config: CONFIG, layers: [LAYER] }
const INDEX = { schemaVersion: 2, manifests: [{ mediaType: MANIFEST_TYPE, digest: DIGEST, size: 9 }] }
const IMAGE = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [DIGEST] } }

const encode = (value: unknown) => Buffer.from(JSON.stringify(value))
const refused = (message: RegExp) => ({ name: 'TrustedPodsError', code: 'PROVISION_IMAGE_REFUSED', message })

test('the documents of an image are read', () => {
  assert.deepEqual(parseIndex(encode(INDEX)), { mediaType: MANIFEST_TYPE, digest: DIGEST, size: 9, annotations: {} })
  const annotated = { ...LAYER, annotations: { a: 'b' }, urls: ['http://127.0.0.1/'] }
  const manifest = parseImageManifest(encode({ ...MANIFEST, layers: [LAYER, annotated] }))
  assert.deepEqual(manifest.config, { ...CONFIG, annotations: {} })
  assert.deepEqual(manifest.layers, [
    { ...LAYER, annotations: {} },
    { ...LAYER, annotations: { a: 'b' } },
  ])
  assert.deepEqual(parseImageConfig(encode(IMAGE)), { diffIds: [DIGEST] })
})

test('documents without mediaType of their own are read, as imgcrypt leaves them', () => {
  const { mediaType: _, ...manifest } = MANIFEST
  assert.equal(parseImageManifest(encode(manifest)).layers.length, 1)
})

test('documents that are cut anywhere are refused', () => {
  for (const [document, parse] of [
    [INDEX, parseIndex],
    [MANIFEST, parseImageManifest],
    [IMAGE, parseImageConfig],
  ] as const) {
    const bytes = encode(document)
    for (let length = 0; length < bytes.length; length++)
      assert.throws(() => parse(bytes.subarray(0, length)), refused(/not JSON/))
  }
})

test('documents over 4 MiB are refused, and so is a descriptor that announces one', () => {
  const padded = Buffer.concat([encode(MANIFEST), Buffer.alloc(MAX_DOCUMENT_BYTES, ' ')])
  assert.throws(() => parseImageManifest(padded), refused(/image manifest of \d+ bytes, at most 4194304/))
  assert.throws(() => parseIndex(padded), refused(/index of/))
  assert.throws(() => parseImageConfig(padded), refused(/image config of/))
  const config = { ...CONFIG, size: MAX_DOCUMENT_BYTES + 1 }
  assert.throws(() => parseImageManifest(encode({ ...MANIFEST, config })), refused(/image config of 4194305 bytes/))
  const manifests = [{ ...INDEX.manifests[0], size: MAX_DOCUMENT_BYTES + 1 }]
  assert.throws(() => parseIndex(encode({ ...INDEX, manifests })), refused(/image manifest of 4194305 bytes/))
})

test('text that is not UTF-8 is refused', () => {
  const bytes = encode(IMAGE)
  bytes[bytes.indexOf('amd64')] = 0xff
  assert.throws(() => parseImageConfig(bytes), refused(/not JSON/))
})

test('refused: an index that is not of exactly one plain image', () => {
  const entry = INDEX.manifests[0]
  for (const [change, message] of [
    [{ manifests: [] }, /0 manifests, wanted one platform's/],
    [{ manifests: [entry, entry] }, /2 manifests, wanted one platform's/],
    [
      { manifests: [{ ...entry, mediaType: 'application/vnd.oci.image.index.v1+json' }] },
      /wanted application\/vnd.oci.image.manifest/,
    ],
    [{ manifests: {} }, /index.manifests: not a JSON list/],
    [{ schemaVersion: 1 }, /index.schemaVersion is 1, wanted 2/],
    [{ mediaType: MANIFEST_TYPE }, /index.mediaType is/],
  ] as const)
    assert.throws(() => parseIndex(encode({ ...INDEX, ...change })), refused(message))
})

test('refused: a manifest whose descriptors are not as they must be', () => {
  for (const [change, message] of [
    [{ schemaVersion: 1 }, /image manifest.schemaVersion is 1, wanted 2/],
    [{ mediaType: 'application/vnd.docker.distribution.manifest.v2+json' }, /image manifest.mediaType is/],
    [{ config: undefined }, /manifest.config: not a JSON object/],
    [{ config: { ...CONFIG, mediaType: 'application/json' } }, /manifest.config is "application\/json"/],
    [{ layers: [] }, /0 layers, wanted 1 to 127/],
    [{ layers: Array(128).fill(LAYER) }, /128 layers, wanted 1 to 127/],
    [{ layers: [null] }, /manifest.layers\[0\]: not a JSON object/],
    [{ layers: [{ ...LAYER, mediaType: 1 }] }, /layers\[0\].mediaType is missing/],
    [{ layers: [{ ...LAYER, digest: DIGEST.toUpperCase() }] }, /layers\[0\].digest is "SHA256/],
    [{ layers: [{ ...LAYER, digest: `${DIGEST}/../../x` }] }, /layers\[0\].digest is/],
    [{ layers: [{ ...LAYER, size: -1 }] }, /layers\[0\].size is -1/],
    [{ layers: [{ ...LAYER, size: 1.5 }] }, /layers\[0\].size is 1.5/],
    [{ layers: [{ ...LAYER, size: 2 ** 53 }] }, /layers\[0\].size is 9007199254740992/],
    [{ layers: [{ ...LAYER, size: '7' }] }, /layers\[0\].size is "7"/],
    [{ layers: [{ ...LAYER, annotations: { a: 1 } }] }, /annotations: a value is not a string/],
    [
      { layers: [{ ...LAYER, annotations: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [i, ''])) }] },
      /annotations has 65/,
    ],
  ] as const)
    assert.throws(() => parseImageManifest(encode({ ...MANIFEST, ...change })), refused(message))
})

test('refused: a config that is not of a Linux image with diff_ids', () => {
  for (const [change, message] of [
    [{ os: 'windows' }, /config.os is "windows", wanted linux/],
    [{ architecture: '' }, /config.architecture is missing/],
    [{ rootfs: undefined }, /config.rootfs: not a JSON object/],
    [{ rootfs: { type: 'squashed', diff_ids: [] } }, /config.rootfs.type is "squashed"/],
    [{ rootfs: { type: 'layers' } }, /diff_ids: not a JSON list/],
    [{ rootfs: { type: 'layers', diff_ids: ['sha256:0'] } }, /diff_ids\[0\] is "sha256:0"/],
  ] as const)
    assert.throws(() => parseImageConfig(encode({ ...IMAGE, ...change })), refused(message))
})

test('refused: a config that an engine, whose parser minds no case and merges what is there twice, would read otherwise', () => {
  const rootfs = `{"type":"layers","diff_ids":["${DIGEST}"]}`
  const config = (more: string) => Buffer.from(`{"architecture":"amd64","os":"linux",${more}}`)
  const fine = [
    `"rootfs":${rootfs},"config":{"Cmd":["/x","a:{\\"Cmd\\""],"Labels":{"a":"1","A":"2"},"Env":["a","a"]}`,
    `"config":{"Other":{"labels":1}},"history":[{"rootfs":1},{"rootfs":1,"ROOTFS":[{}]}],"rootfs":${rootfs}`,
  ]
  fine.push(`"rootfs":${rootfs},"constructor":{"name":1},"__proto__":{"a":1}`)
  fine.push(`"x":${'{"a":'.repeat(300_000)}1${'}'.repeat(300_000)},"rootfs":${rootfs}`)
  for (const more of fine) assert.deepEqual(parseImageConfig(config(more)), { diffIds: [DIGEST] })
  for (const [more, message] of [
    [`"rootfs":${rootfs},"Rootfs":${rootfs}`, /"Rootfs" is there twice/],
    [`"rootf\u017f":${rootfs},"rootfs":${rootfs}`, /is spelled otherwise/],
    [`"rootfs":${rootfs},"\\u0072ootfs":{}`, /"rootfs" is there twice/],
    [`"rootfs":{"diff_ids":[],"type":"layers","Diff_IDs":[],"diff_ids":["${DIGEST}"]}`, /"Diff_IDs" is there twice/],
    [`"rootfs":${rootfs},"config":{"labels":{}}`, /"labels" is spelled otherwise/],
    [`"config":{"Labels":{"a":"b"}},"rootfs":${rootfs},"config":{}`, /"config" is there twice/],
    [`"rootfs":${rootfs},"config":{"Cmd":[],"CMD":[]}`, /"CMD" is there twice/],
  ] as const)
    assert.throws(() => parseImageConfig(config(more)), refused(message), more)
})
