/** From a manifest in normal form to the wire's Pod: total for what parseManifest returns. Spec: spec/MANIFEST.md#mapping.
 * Pure. */
import { clone, create, toBinary } from '@bufbuild/protobuf'
import { TrustedPodsError } from '../errors.ts'
import {
  type Container,
  ContainerSchema,
  EnvVarSchema,
  ImageSchema,
  type Pod,
  PodSchema,
  PortProtocol,
  PortSchema,
  ReplicasSchema,
  ResourceSchema,
  type Volume,
  VolumeMountSchema,
  VolumeSchema,
  VolumeType,
} from '../gen/trustedpods/v0/pod_pb.ts'
import { type PricingTable, PricingTableSchema } from '../gen/trustedpods/v0/pricing_pb.ts'
import type { ImageDefaults } from '../image/public-config.ts'
import { MAX_SECRET_BYTES, PROVISION } from '../wire/protocols.ts'
import type {
  ContainerManifest,
  EnvManifest,
  Manifest,
  SecretContent,
  StorageManifest,
  VolumeManifest,
} from './manifest.ts'

export interface PublishedImage {
  /** Binary CIDv1. */
  readonly cid: Uint8Array
  /** EC P-256, PKCS#8 DER. */
  readonly privateKey: Uint8Array
  /** What its published config no longer says, and the container has to. */
  readonly defaults?: ImageDefaults
}

/** What a manifest does not hold itself. */
export interface PodMaterials {
  /** By the image text of the manifest. */
  readonly images: ReadonlyMap<string, PublishedImage>
  /** Contents of secret files, by their `source`. */
  readonly secrets: ReadonlyMap<string, Uint8Array>
  /** The price table agreed on; copied. */
  readonly pricing?: PricingTable
  /** SHA-256 of the signed quote's bytes. */
  readonly quoteDigest?: Uint8Array
}

/** The request's frame less 64 KiB for quote, channel, seal and signatures. */
export const MAX_POD_BYTES = PROVISION.requestBytes - 64 * 1024

/** @throws TrustedPodsError MANIFEST_IMAGE_NOT_FOUND or MANIFEST_UNREADABLE for an image or a secret that `materials` lacks,
 * MANIFEST_INVALID for a secret or a pod that is too large. */
export function toWire(manifest: Manifest, materials: PodMaterials): Pod {
  const pod = create(PodSchema, {
    containers: manifest.containers.map((container) => toContainer(container, materials)),
    replicas: create(ReplicasSchema, manifest.replicas),
    volumes: manifest.volumes.map((volume) => toVolume(volume, materials)),
  })
  if (materials.pricing !== undefined) pod.pricing = clone(PricingTableSchema, materials.pricing)
  if (materials.quoteDigest !== undefined) pod.quoteDigest = materials.quoteDigest.slice()
  const { length } = toBinary(PodSchema, pod)
  if (length > MAX_POD_BYTES) {
    throw new TrustedPodsError(
      'MANIFEST_INVALID',
      `the pod has ${length} bytes encoded, at most ${MAX_POD_BYTES} are taken`,
    )
  }
  return pod
}

function toContainer(container: ContainerManifest, { images }: PodMaterials): Container {
  const image = images.get(container.image)
  if (image === undefined) {
    throw new TrustedPodsError(
      'MANIFEST_IMAGE_NOT_FOUND',
      `container ${container.name}: image ${container.image} was not published`,
    )
  }
  return create(ContainerSchema, {
    name: container.name,
    image: create(ImageSchema, {
      cid: image.cid.slice(),
      privateKey: image.privateKey.slice(),
      sources: [...container.sources],
    }),
    ...toProgram(container, image.defaults),
    ports: container.ports.map(({ protocol, ...port }) =>
      create(PortSchema, { ...port, protocol: protocol === 'udp' ? PortProtocol.UDP : PortProtocol.TCP }),
    ),
    env: toEnv(container, image.defaults).map((variable) => create(EnvVarSchema, variable)),
    mounts: container.mounts.map((mount) => create(VolumeMountSchema, mount)),
    resources: container.resources.map((resource) => create(ResourceSchema, resource)),
  })
}

function toStorage({ storageBytes, storageClass = '' }: StorageManifest) {
  return { storageBytes, storageClass }
}

/** A command of the manifest replaces the image's entrypoint, and its command with it, as Kubernetes has it. */
function toProgram({ command, args, workingDir }: ContainerManifest, defaults?: ImageDefaults) {
  const own = { command: [...command], args: [...args], workingDir }
  if (!defaults) return own
  const { entrypoint, cmd } = defaults
  const program = command.length > 0 ? {} : { command: [...entrypoint], args: args.length > 0 ? [...args] : [...cmd] }
  return { ...own, ...program, workingDir: workingDir || defaults.workingDir }
}

/** The image's variables, then the manifest's, which win. */
function toEnv({ env }: ContainerManifest, defaults?: ImageDefaults): readonly EnvManifest[] {
  const values = new Map<string, string>()
  for (const entry of defaults?.env ?? []) {
    const end = entry.indexOf('=')
    values.set(entry.slice(0, end), entry.slice(end + 1))
  }
  for (const { name, value } of env) values.set(name, value)
  return [...values].map(([name, value]) => ({ name, value }))
}

function toVolume(volume: VolumeManifest, materials: PodMaterials): Volume {
  switch (volume.kind) {
    case 'volume':
      return create(VolumeSchema, { type: VolumeType.VOLUME, ...toStorage(volume) })
    case 'emptyDir':
      return create(VolumeSchema, { type: VolumeType.EMPTY_DIR, ...toStorage(volume) })
    case 'secret':
      return create(VolumeSchema, {
        type: VolumeType.SECRET,
        secret: secretBytes(volume.name, volume.content, materials),
      })
  }
}

function secretBytes(name: string, content: SecretContent, { secrets }: PodMaterials): Uint8Array {
  if (content.kind === 'value') return new TextEncoder().encode(content.value)
  const bytes = secrets.get(content.source)
  if (bytes === undefined) {
    throw new TrustedPodsError('MANIFEST_UNREADABLE', `secret ${name}: the file ${content.source} was not read`)
  }
  if (bytes.length > MAX_SECRET_BYTES) {
    const message = `secret ${name}: ${content.source} has ${bytes.length} bytes, at most ${MAX_SECRET_BYTES} are taken`
    throw new TrustedPodsError('MANIFEST_INVALID', message)
  }
  return bytes.slice()
}
