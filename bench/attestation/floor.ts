/**
 * The floor: the public-key operations that an appraisal cannot do without, by node:crypto with keys that are parsed already, and
 * nothing else. SNP: 1 ECDSA P-384 (report) and 3 RSA-4096-PSS (VCEK, ASK, revocation list). TDX: 10 ECDSA P-256.
 */
import { constants, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'

/** Verifies a signature once; throws where it does not hold. */
export type Operation = () => void

const MESSAGE_BYTES = 672

export function p384(): Operation {
  return ecdsa('P-384', 'sha384')
}

export function p256(): Operation {
  return ecdsa('P-256', 'sha256')
}

export function rsa4096Pss(): Operation {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 4096 })
  const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 }
  return operation('sha384', { ...padding, key: privateKey }, { ...padding, key: publicKey })
}

function ecdsa(namedCurve: string, hash: string): Operation {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
  const form = { dsaEncoding: 'ieee-p1363' as const }
  return operation(hash, { ...form, key: privateKey }, { ...form, key: publicKey })
}

type Key = Parameters<typeof sign>[2] & { key: KeyObject }

function operation(hash: string, privateKey: Key, publicKey: Key): Operation {
  const message = new Uint8Array(MESSAGE_BYTES).fill(7)
  const signature = sign(hash, message, privateKey)
  return () => {
    if (!verify(hash, message, publicKey, signature)) throw new Error('a signature of our own does not hold')
  }
}

export function repeat(...operations: Operation[]): Operation {
  return () => {
    for (const run of operations) run()
  }
}
