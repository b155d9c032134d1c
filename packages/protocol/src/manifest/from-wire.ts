/** From the wire's Pod back to a manifest, as far as the wire carries it: the names of images, volumes and secret files are
 * made up. Spec: spec/MANIFEST.md#mapping. Pure. */
import { CID } from 'multiformats/cid'
import { equalBytes } from '../bytes.ts'
import { type Container, type Image, type Pod, type Volume, VolumeType } from '../gen/trustedpods/v0/pod_pb.ts'
import { checkPod } from './check-pod.ts'
import type { ContainerManifest, Manifest, ResourceManifest, VolumeManifest } from './manifest.ts'
import { toPortManifest } from './ports-clash.ts'
import { isResourceName } from './resource-names.ts'
import type { PodMaterials, PublishedImage } from './to-wire.ts'

export interface UnpackedPod {
  readonly manifest: Manifest
  /** Under the made-up names: toWire(manifest, materials) is the pod again. */
  readonly materials: PodMaterials
}

/** @throws TrustedPodsError PROVISION_BAD_POD for a pod that checkPod refuses. */
export function fromWire(pod: Pod): UnpackedPod {
  checkPod(pod)
  const images = new Map<string, PublishedImage>()
  const secrets = new Map<string, Uint8Array>()
  const containers = pod.containers.map((container) => toContainerManifest(container, images))
  const volumes = pod.volumes.map((volume, index) => toVolumeManifest(volume, { name: `volume-${index}`, secrets }))
  const manifest = { containers, replicas: { min: pod.replicas?.min ?? 1, max: pod.replicas?.max ?? 1 }, volumes }
  return {
    manifest,
    materials: {
      images,
      secrets,
      ...(pod.pricing === undefined ? {} : { pricing: pod.pricing }),
      ...(pod.quoteDigest.length === 0 ? {} : { quoteDigest: pod.quoteDigest }),
    },
  }
}

function toContainerManifest(container: Container, images: Map<string, PublishedImage>): ContainerManifest {
  return {
    name: container.name,
    image: container.image === undefined ? '' : nameImage(container.image, images),
    sources: container.image?.sources ?? [],
    command: container.command,
    args: container.args,
    workingDir: container.workingDir,
    ports: container.ports.map(toPortManifest),
    env: container.env.map(({ name, value }) => ({ name, value })),
    mounts: container.mounts.map(({ volume, mountPath, readOnly }) => ({ volume, mountPath, readOnly })),
    resources: container.resources.flatMap(({ name, quantity, selector }): ResourceManifest[] =>
      isResourceName(name) ? [{ name, quantity, selector }] : [],
    ),
  }
}

/** "ipfs://<cid>"; a second key for one CID gets "#2". */
function nameImage(image: Image, images: Map<string, PublishedImage>): string {
  const base = `ipfs://${CID.decode(image.cid)}`
  for (let count = 1; ; count++) {
    const name = count === 1 ? base : `${base}#${count}`
    const known = images.get(name)
    if (known === undefined) images.set(name, { cid: image.cid, privateKey: image.privateKey })
    if (known === undefined || equalBytes(known.privateKey, image.privateKey)) return name
  }
}

function toVolumeManifest(
  volume: Volume,
  { name, secrets }: { name: string; secrets: Map<string, Uint8Array> },
): VolumeManifest {
  if (volume.type !== VolumeType.SECRET) {
    const kind = volume.type === VolumeType.EMPTY_DIR ? 'emptyDir' : 'volume'
    const { storageBytes, storageClass } = volume
    return { kind, name, storageBytes, ...(storageClass !== '' && { storageClass }) }
  }
  secrets.set(name, volume.secret)
  return { kind: 'secret', name, content: { kind: 'source', source: name } }
}
