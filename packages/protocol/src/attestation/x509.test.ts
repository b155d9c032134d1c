/** Genuine certificates and revocation lists of AMD; folder: TRUSTED_PODS_VECTORS or ../shared/vectors beside the repository. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { SHARED_VECTORS } from '../../../../test/support/vectors/shared-vectors.ts'
import { toHex } from '../bytes.ts'
import { parseCrl } from './crl.ts'
import { verifyPssSha384 } from './signature-algorithm.ts'
import { CERT_SIGN, CRL_SIGN, parseCertificate, readBasicConstraints, readKeyUsage } from './x509.ts'

const folder = join(SHARED_VECTORS, 'snp')
const skip = existsSync(folder) ? false : `no vectors at ${folder}: set TRUSTED_PODS_VECTORS`
const read = (path: string) => new Uint8Array(readFileSync(join(folder, path)))
const MALFORMED = { code: 'ATTEST_EVIDENCE_MALFORMED' }

const CERTIFICATES = [
  'roots/milan.ark.der',
  'roots/genoa.ask.der',
  'roots/turin.asvk.der',
  'real/turin-v5-ms.vcek.der',
  'real/milan-v3-vlek-aws.vlek.der',
]

for (const path of CERTIFICATES) {
  test(`${path} is read as another implementation reads it`, { skip }, () => {
    const der = read(path)
    const ours = parseCertificate(der)
    const theirs = new X509Certificate(der)
    assert.ok(theirs.subject.includes(`CN=${ours.subject.commonName}`))
    assert.ok(theirs.issuer.includes(`CN=${ours.issuer.commonName}`))
    assert.equal(BigInt(`0x${toHex(ours.serial)}`), BigInt(`0x${theirs.serialNumber}`))
    assert.equal(ours.notBefore.getTime(), Date.parse(theirs.validFrom))
    assert.equal(ours.notAfter.getTime(), Date.parse(theirs.validTo))
    assert.equal(readBasicConstraints(ours).isCa, theirs.ca)
    assert.equal(ours.isPssSha384, true)
    const spki = theirs.publicKey.export({ type: 'spki', format: 'der' })
    assert.equal(toHex(ours.publicKey.spki), spki.toString('hex'))
  })

  test(`${path} cut at any length, or with a byte more, is refused`, { skip }, () => {
    const der = read(path)
    for (let length = 0; length < der.length; length++) {
      assert.throws(() => parseCertificate(der.slice(0, length)), MALFORMED)
    }
    assert.throws(() => parseCertificate(new Uint8Array([...der, 0])), MALFORMED)
  })
}

test('a root may sign certificates and lists, an intermediate certificates only', { skip }, () => {
  assert.equal(readKeyUsage(parseCertificate(read('roots/milan.ark.der'))), CERT_SIGN | CRL_SIGN)
  assert.equal(readKeyUsage(parseCertificate(read('roots/milan.ask.der'))), CERT_SIGN)
  assert.deepEqual(readBasicConstraints(parseCertificate(read('roots/milan.ask.der'))), { isCa: true, pathLength: 0 })
})

test('a genuine signature verifies, and not with another root', { skip }, async () => {
  const ask = parseCertificate(read('roots/genoa.ask.der'))
  const ark = parseCertificate(read('roots/genoa.ark.der'))
  const other = parseCertificate(read('roots/milan.ark.der'))
  assert.equal(await verifyPssSha384(ark.publicKey.spki, ask.signature, ask.tbs), true)
  assert.equal(await verifyPssSha384(other.publicKey.spki, ask.signature, ask.tbs), false)
  assert.equal(await verifyPssSha384(new Uint8Array(9), ask.signature, ask.tbs), false)
})

test('other algorithms and keys are told apart', { skip }, () => {
  assert.equal(parseCertificate(read('synthetic/vcek-pkcs1-signature.vcek.der')).isPssSha384, false)
  assert.equal(parseCertificate(read('synthetic/vcek-p256-key.vcek.der')).publicKey.kind, 'P-256')
  assert.equal(parseCertificate(read('synthetic/ok-milan-v3.vcek.der')).publicKey.kind, 'P-384')
})

test('a key with other parameters than its algorithm has is of no known kind', { skip }, () => {
  // AlgorithmIdentifiers: rsaEncryption and NULL; ecPublicKey and secp384r1.
  const rsa = '300d06092a864886f70d0101010500'
  const p384 = '301006072a8648ce3d020106052b81040022'
  const kindWith = (path: string, from: string, to: string) => {
    const hex = toHex(read(path))
    assert.equal(hex.split(from).length, 2)
    return parseCertificate(new Uint8Array(Buffer.from(hex.replace(from, to), 'hex'))).publicKey.kind
  }
  assert.equal(kindWith('roots/milan.ark.der', rsa, rsa), 'RSA-4096')
  assert.equal(kindWith('roots/milan.ark.der', rsa, rsa.replace('0500', 'a300')), 'other')
  assert.equal(kindWith('synthetic/ok-milan-v3.vcek.der', p384, p384), 'P-384')
  assert.equal(
    kindWith('synthetic/ok-milan-v3.vcek.der', p384, p384.replace('06052b81040022', '06032b81040500')),
    'other',
  )
})

test('a genuine revocation list names the withdrawn intermediate', { skip }, () => {
  const list = parseCrl(read('roots/genoa.vcek.crl.der'))
  assert.equal(list.issuer.commonName, 'ARK-Genoa')
  assert.deepEqual([...list.revoked], ['020001'])
  assert.equal(list.thisUpdate.toISOString(), '2024-10-23T04:36:24.000Z')
  assert.equal(list.nextUpdate.toISOString(), '2025-11-03T01:00:00.000Z')
  assert.equal(list.isPssSha384, true)
  assert.equal(parseCrl(read('roots/milan.vcek.crl.der')).revoked.size, 0)
})

test('a revocation list cut at any length, or with a byte more, is refused', { skip }, () => {
  const der = read('roots/genoa.vcek.crl.der')
  for (let length = 0; length < der.length; length++) assert.throws(() => parseCrl(der.slice(0, length)), MALFORMED)
  assert.throws(() => parseCrl(new Uint8Array([...der, 0])), MALFORMED)
})
