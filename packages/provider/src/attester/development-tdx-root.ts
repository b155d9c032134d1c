/**
 * The root that a simulated TDX attester makes for itself, and what hangs on it: SGX-ROOT-SIM over SGX-PCK-CA-SIM over
 * SGX-PCK-SIM, and over SGX-TCB-SIGNING-SIM. Spec: spec/ATTESTATION.md#simulated.
 */
import { createPrivateKey, generateKeyPair, type KeyObject, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { loadOrCreateSecret } from '@trusted-pods/platform/secret-file.ts'
import { type TdxNames, tdxNames } from '@trusted-pods/protocol/attestation/tdx/roots.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { authorityExtensions, issueCertificate, signerExtensions, simulationMark } from './development-certificate.ts'
import { pckExtension } from './pck-extension.ts'

/** Keys by what they sign: the root and the PCK CA lists, the PCK the quoting enclave, the signing key collateral. */
const KEYS = ['root', 'pckCa', 'pck', 'signing'] as const
/** Certificates, DER. */
const CERTIFICATES = ['root', 'pckCa', 'pck', 'signing'] as const

export interface DevelopmentTdxRoot {
  readonly names: TdxNames
  readonly keys: Readonly<Record<(typeof KEYS)[number], KeyObject>>
  readonly certificates: Readonly<Record<(typeof CERTIFICATES)[number], Uint8Array>>
  /** 16 random bytes of this installation. */
  readonly platformInstanceId: Uint8Array
}

/** The platform that the simulation claims: it has no firmware. FMSPC is "TPSIM" and a zero. */
export const SIMULATED_PLATFORM = {
  svns: new Uint8Array(16).fill(1),
  pceSvn: 1,
  pceId: new Uint8Array(2),
  fmspc: new Uint8Array([0x54, 0x50, 0x53, 0x49, 0x4d, 0]),
}

const FILE = 'simulated-tdx-attester.json'
const DAY_MS = 86_400_000
/** As Intel's: the root lasts decades, the others seven years; from a day ago, for clocks that are late. */
const ROOT_DAYS = 25 * 365
const OTHER_DAYS = 7 * 365

/** Loads the root of `stateDir`, or makes one there; the file has mode 0600. */
export async function loadDevelopmentTdxRoot(stateDir: string, options: { now: Date }): Promise<DevelopmentTdxRoot> {
  const path = join(stateDir, FILE)
  const bytes = await loadOrCreateSecret(path, async () =>
    new TextEncoder().encode(toJson(await makeDevelopmentTdxRoot(tdxNames('Simulated'), options))),
  )
  return fromJson(new TextDecoder().decode(bytes), path)
}

const generate = promisify(generateKeyPair)

/** A hierarchy with the given names: others than the simulation's are what its verifier must refuse. */
export async function makeDevelopmentTdxRoot(names: TdxNames, { now }: { now: Date }): Promise<DevelopmentTdxRoot> {
  const [root, pckCa, pck, signing] = await Promise.all([
    generateP256(),
    generateP256(),
    generateP256(),
    generateP256(),
  ])
  const name = (commonName: string) => ({ organization: names.organization, commonName })
  const platformInstanceId = new Uint8Array(randomBytes(16))
  const platform = { ...SIMULATED_PLATFORM, ppid: new Uint8Array(randomBytes(16)), platformInstanceId }
  const caName = name(names.intermediates[0] ?? '')
  const from = new Date(now.getTime() - DAY_MS)
  const byRoot = { ...validFor(OTHER_DAYS, from), issuer: name(names.root), issuerKey: root.privateKey }
  const signer = [...signerExtensions(), simulationMark()]
  const certificates = {
    root: await issueCertificate({
      ...byRoot,
      ...validFor(ROOT_DAYS, from),
      serial: 1,
      subject: name(names.root),
      publicKey: root.publicKey,
      extensions: [...authorityExtensions({ pathLength: 1, signsLists: true }), simulationMark()],
    }),
    pckCa: await issueCertificate({
      ...byRoot,
      serial: 2,
      subject: caName,
      publicKey: pckCa.publicKey,
      extensions: [...authorityExtensions({ pathLength: 0, signsLists: true }), simulationMark()],
    }),
    signing: await issueCertificate({
      ...byRoot,
      serial: 3,
      subject: name(names.signing),
      publicKey: signing.publicKey,
      extensions: signer,
    }),
    pck: await issueCertificate({
      ...validFor(OTHER_DAYS, from),
      serial: 1,
      subject: name(names.pck),
      publicKey: pck.publicKey,
      issuer: caName,
      issuerKey: pckCa.privateKey,
      extensions: [...signer, pckExtension(platform)],
    }),
  }
  const keys = { root: root.privateKey, pckCa: pckCa.privateKey, pck: pck.privateKey, signing: signing.privateKey }
  return { names, keys, certificates, platformInstanceId }
}

function generateP256() {
  return generate('ec', { namedCurve: 'P-256' })
}

function validFor(days: number, notBefore: Date): { notBefore: Date; notAfter: Date } {
  return { notBefore, notAfter: new Date(notBefore.getTime() + days * DAY_MS) }
}

function toJson({ keys, certificates, platformInstanceId }: DevelopmentTdxRoot): string {
  const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString()
  return JSON.stringify({
    keys: Object.fromEntries(KEYS.map((name) => [name, pem(keys[name])])),
    certificates: Object.fromEntries(
      CERTIFICATES.map((name) => [name, Buffer.from(certificates[name]).toString('base64')]),
    ),
    platformInstanceId: Buffer.from(platformInstanceId).toString('hex'),
  })
}

/** @throws TrustedPodsError PLATFORM_STATE when the file is not what toJson wrote. */
function fromJson(text: string, path: string): DevelopmentTdxRoot {
  try {
    const state = JSON.parse(text) as { keys: unknown; certificates: unknown; platformInstanceId: unknown }
    const key = (name: (typeof KEYS)[number]) => createPrivateKey(readString(state.keys, name))
    const certificate = (name: (typeof CERTIFICATES)[number]) =>
      new Uint8Array(Buffer.from(readString(state.certificates, name), 'base64'))
    return {
      names: tdxNames('Simulated'),
      keys: { root: key('root'), pckCa: key('pckCa'), pck: key('pck'), signing: key('signing') },
      certificates: {
        root: certificate('root'),
        pckCa: certificate('pckCa'),
        pck: certificate('pck'),
        signing: certificate('signing'),
      },
      platformInstanceId: new Uint8Array(Buffer.from(readString(state, 'platformInstanceId'), 'hex')),
    }
  } catch (cause) {
    const advice = 'remove it to make a new root, and name that in the policies'
    throw new TrustedPodsError('PLATFORM_STATE', `${path} is no state of a simulated TDX attester: ${advice}`, {
      cause,
    })
  }
}

function readString(value: unknown, name: string): string {
  const held = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
  if (typeof held !== 'string') throw new TypeError(`${name} is missing`)
  return held
}
