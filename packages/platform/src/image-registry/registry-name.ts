/** From an image's name to what a registry is asked for: Docker Hub's short names made whole. Spec: spec/IMAGES.md#registry. Pure. */
import { type ImageReference, parseImageReference } from '@trusted-pods/protocol/image/image-reference.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'

export interface RegistryName {
  /** Host and port that are asked. */
  readonly host: string
  /** Names under which Docker keeps credentials for it, the best first. */
  readonly credentialHosts: readonly string[]
  readonly repository: string
  /** Tag or digest: what the manifest is asked by. */
  readonly reference: string
  readonly digest?: string
}

/** Docker Hub answers at another host than it is called by, and Docker keeps its credentials under a third name. */
const HUB_HOST = 'registry-1.docker.io'
const HUB_NAMES = ['docker.io', 'index.docker.io', HUB_HOST]
const HUB_CREDENTIALS = ['https://index.docker.io/v1/', ...HUB_NAMES]

export function registryName(text: string): RegistryName {
  const parsed = parseImageReference(text)
  if (!parsed) throw invalidImage(`${text.slice(0, 256)} is not the name of an image in a registry`)
  const { host = 'docker.io', tag, digest } = parsed
  const isHub = HUB_NAMES.includes(host)
  return {
    host: isHub ? HUB_HOST : host,
    credentialHosts: isHub ? HUB_CREDENTIALS : [host],
    repository: isHub ? hubRepository(parsed) : parsed.repository,
    reference: digest ?? tag ?? 'latest',
    ...(digest !== undefined && { digest }),
  }
}

/** Official images have a folder that nobody writes. */
function hubRepository({ repository }: ImageReference): string {
  return repository.includes('/') ? repository : `library/${repository}`
}
