/** A parsed manifest in its one normal form: every short form written out, mounts naming volumes by index. Spec:
 * spec/MANIFEST.md#model. Pure. */
import type { ResourceName } from './resource-names.ts'

export interface Manifest {
  /** In the order in which they start; 1 to 16, names unique. */
  readonly containers: readonly ContainerManifest[]
  readonly replicas: ReplicasManifest
  /** Named volumes in the file's order, then inline ones in the order of their mounts. */
  readonly volumes: readonly VolumeManifest[]
}

export interface ContainerManifest {
  /** DNS label; derived from the image where the file gives none. */
  readonly name: string
  /** As the file has it. */
  readonly image: string
  /** Places that have the published image's blocks too; empty: the publisher alone. */
  readonly sources: readonly string[]
  /** Empty: the image's entrypoint. */
  readonly command: readonly string[]
  /** Empty: the image's command. */
  readonly args: readonly string[]
  /** Absolute path; empty: the image's. */
  readonly workingDir: string
  readonly ports: readonly PortManifest[]
  readonly env: readonly EnvManifest[]
  readonly mounts: readonly MountManifest[]
  /** One entry per name, in the order of RESOURCE_NAMES; cpu and memory always. */
  readonly resources: readonly ResourceManifest[]
}

export interface PortManifest {
  readonly port: number
  readonly targetPort: number
  readonly protocol: 'tcp' | 'udp'
  /** IP address of the provider's host to bind; empty: the provider's choice. */
  readonly hostIp: string
  /** Lower-case host name at the provider's HTTP front; empty: the port is published instead. */
  readonly httpHost: string
}

export interface EnvManifest {
  readonly name: string
  readonly value: string
}

export interface MountManifest {
  /** Index into Manifest.volumes. */
  readonly volume: number
  readonly mountPath: string
  readonly readOnly: boolean
}

export interface ResourceManifest {
  readonly name: ResourceName
  /** In the resource's unit: millicores, bytes, pieces. */
  readonly quantity: bigint
  /** Model or class wanted; empty: any. */
  readonly selector: string
}

export interface ReplicasManifest {
  readonly min: number
  readonly max: number
}

/** Inline volumes and volumes read from the wire have a name made up for them. */
export type VolumeManifest =
  | ({ readonly kind: 'volume'; readonly name: string } & StorageManifest)
  | ({ readonly kind: 'emptyDir'; readonly name: string } & StorageManifest)
  | { readonly kind: 'secret'; readonly name: string; readonly content: SecretContent }

export interface StorageManifest {
  readonly storageBytes: bigint
  /** Absent: any. */
  readonly storageClass?: string
}

export type SecretContent =
  /** Path of a file, relative to the manifest's folder unless absolute. */
  | { readonly kind: 'source'; readonly source: string }
  /** The content itself, written in the manifest; UTF-8. */
  | { readonly kind: 'value'; readonly value: string }

/** 100m: a small web server at rest. Used with a warning: what runs must be paid for. */
export const DEFAULT_CPU_MILLIS = 100n
/** 128 MiB: enough for a small runtime to start. Used with a warning. */
export const DEFAULT_MEMORY_BYTES = 128n * 1024n * 1024n
/** 1 GiB: for a volume without resources.storage. Used with a warning. */
export const DEFAULT_STORAGE_BYTES = 1024n * 1024n * 1024n
/** 1,000 copies of a pod: far above one provider's machine, far below an accident with a unit. */
export const MAX_REPLICAS = 1000
/** 1 MiB of manifest text: inline secrets included, it still fits the wire's frame. */
export const MAX_MANIFEST_BYTES = 1024 * 1024
