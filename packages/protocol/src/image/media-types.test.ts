import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encryptedLayerCompression, encryptedLayerType, layerCompression, layerType } from './media-types.ts'

test('each compression has a plain and an encrypted type, and both say it', () => {
  for (const compression of ['none', 'gzip', 'zstd'] as const) {
    assert.equal(layerCompression(layerType(compression)), compression)
    assert.equal(encryptedLayerCompression(encryptedLayerType(compression)), compression)
    assert.equal(layerCompression(encryptedLayerType(compression)), undefined)
    assert.equal(encryptedLayerCompression(layerType(compression)), undefined)
  }
  assert.equal(encryptedLayerType('none'), 'application/vnd.oci.image.layer.v1.tar+encrypted')
})

test('types that only look like a layer are none', () => {
  for (const type of [
    '',
    '+encrypted',
    'application/vnd.oci.image.layer.v1.tar+gzip+encrypted+encrypted',
    'application/vnd.oci.image.layer.v1.tar+bzip2+encrypted',
    'application/vnd.docker.image.rootfs.diff.tar.gzip+encrypted',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip+encrypted',
  ])
    assert.equal(encryptedLayerCompression(type), undefined, type)
})
