/**
 * The root that a simulated attester makes for itself, and the chain under it: ARK-SIM, ASK-SIM, VCEK-SIM.
 * Spec: spec/ATTESTATION.md#simulated.
 */
import { createPrivateKey, generateKeyPair, type KeyObject, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { loadOrCreateSecret } from '@trusted-pods/platform/secret-file.ts'
import { type ChainNames, chainNames } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { authorityExtensions, issueCertificate, simulationMark, vcekExtensions } from './development-certificate.ts'

export interface DevelopmentRoot {
  /** Signs revocation lists. */
  readonly rootKey: KeyObject
  /** P-384: signs reports. */
  readonly reportKey: KeyObject
  /** DER: VCEK-SIM, ASK-SIM, ARK-SIM. */
  readonly certificates: Uint8Array[]
  /** 64 random bytes of this installation. */
  readonly chipId: Uint8Array
}

/** The TCB that the simulation claims: it has no firmware. */
export const SIMULATED_TCB = { bl: 1, tee: 1, snp: 1, ucode: 1 }

const FILE = 'simulated-attester.json'
const DAY_MS = 86_400_000
/** As AMD's: 25 years for roots, 7 for a chip's key; from a day ago, for clocks that are late. */
const ROOT_DAYS = 25 * 365
const LEAF_DAYS = 7 * 365

/** Loads the root of `stateDir`, or makes one there (two RSA-4096 keys: some seconds); the file has mode 0600. */
export async function loadDevelopmentRoot(stateDir: string, options: { now: Date }): Promise<DevelopmentRoot> {
  const path = join(stateDir, FILE)
  const bytes = await loadOrCreateSecret(path, async () =>
    new TextEncoder().encode(toJson(await makeDevelopmentRoot(chainNames('Simulated', 'vcek'), options))),
  )
  return fromJson(new TextDecoder().decode(bytes), path)
}

const generate = promisify(generateKeyPair)

/** A chain with the given names: others than the simulation's are what its verifier must refuse. */
export async function makeDevelopmentRoot(names: ChainNames, options: { now: Date }): Promise<DevelopmentRoot> {
  const [root, intermediate, leaf] = await Promise.all([
    generate('rsa', { modulusLength: 4096 }),
    generate('rsa', { modulusLength: 4096 }),
    generate('ec', { namedCurve: 'P-384' }),
  ])
  const chipId = new Uint8Array(randomBytes(64))
  const { organization } = names
  const rootName = { organization, commonName: names.root }
  const intermediateName = { organization, commonName: names.intermediate }
  const notBefore = new Date(options.now.getTime() - DAY_MS)
  const until = (days: number) => new Date(notBefore.getTime() + days * DAY_MS)
  const rootDer = await issueCertificate({
    serial: 1,
    subject: rootName,
    publicKey: root.publicKey,
    issuer: rootName,
    issuerKey: root.privateKey,
    notBefore,
    notAfter: until(ROOT_DAYS),
    extensions: [...authorityExtensions({ signsLists: true }), simulationMark()],
  })
  const intermediateDer = await issueCertificate({
    serial: 2,
    subject: intermediateName,
    publicKey: intermediate.publicKey,
    issuer: rootName,
    issuerKey: root.privateKey,
    notBefore,
    notAfter: until(ROOT_DAYS),
    extensions: [...authorityExtensions({ pathLength: 0, signsLists: false }), simulationMark()],
  })
  const leafDer = await issueCertificate({
    serial: 0,
    subject: { organization, commonName: names.leaf },
    publicKey: leaf.publicKey,
    issuer: intermediateName,
    issuerKey: intermediate.privateKey,
    notBefore,
    notAfter: until(LEAF_DAYS),
    extensions: [...vcekExtensions({ productName: 'Simulated', tcb: SIMULATED_TCB, hwid: chipId }), simulationMark()],
  })
  return {
    rootKey: root.privateKey,
    reportKey: leaf.privateKey,
    certificates: [leafDer, intermediateDer, rootDer],
    chipId,
  }
}

/** The intermediate's key is not kept: it has nothing more to sign. */
function toJson({ rootKey, reportKey, certificates, chipId }: DevelopmentRoot): string {
  const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString()
  return JSON.stringify({
    rootKey: pem(rootKey),
    reportKey: pem(reportKey),
    certificates: certificates.map((bytes) => Buffer.from(bytes).toString('base64')),
    chipId: Buffer.from(chipId).toString('hex'),
  })
}

/** @throws TrustedPodsError PLATFORM_STATE when the file is not what toJson wrote. */
function fromJson(text: string, path: string): DevelopmentRoot {
  try {
    const state: unknown = JSON.parse(text)
    if (!isState(state)) throw new TypeError('keys or certificates are missing')
    return {
      rootKey: createPrivateKey(state.rootKey),
      reportKey: createPrivateKey(state.reportKey),
      certificates: state.certificates.map((base64) => new Uint8Array(Buffer.from(base64, 'base64'))),
      chipId: new Uint8Array(Buffer.from(state.chipId, 'hex')),
    }
  } catch (cause) {
    const advice = 'remove it to make a new root, and name that in the policies'
    throw new TrustedPodsError('PLATFORM_STATE', `${path} is no state of a simulated attester: ${advice}`, { cause })
  }
}

interface State {
  rootKey: string
  reportKey: string
  certificates: string[]
  chipId: string
}

function isState(value: unknown): value is State {
  if (typeof value !== 'object' || value === null) return false
  const { rootKey, reportKey, certificates, chipId } = value as Record<keyof State, unknown>
  const isText = (item: unknown) => typeof item === 'string'
  return [rootKey, reportKey, chipId].every(isText) && Array.isArray(certificates) && certificates.every(isText)
}
