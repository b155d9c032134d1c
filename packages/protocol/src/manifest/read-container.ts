/** One container of the manifest. Spec: spec/MANIFEST.md#containers. Pure. */
import { parseImagePlace } from '../image/image-place.ts'
import { MAX_SOURCES, parseSourceAddress, SOURCE_ADDRESS } from '../image/source-address.ts'
import { describe, type Fields, isMissing, readFields, readItems, readText } from './fields.ts'
import type { ContainerManifest } from './manifest.ts'
import { DNS_LABEL, IMAGE_NAME, isDnsLabel, isImageName, shortestPath, uniqueLabel, whyBadPath } from './names.ts'
import { readWords } from './read-command.ts'
import { readEnv } from './read-env.ts'
import { readMounts } from './read-mounts.ts'
import { type ReadPort, readPorts } from './read-ports.ts'
import { readResources } from './read-resources.ts'
import type { VolumeTable } from './read-volumes.ts'
import { fail, quote, type YamlNode } from './yaml-tree.ts'

const CONTAINER_KEYS = [
  'name',
  'image',
  'sources',
  'command',
  'args',
  'workingDir',
  'port',
  'host',
  'ports',
  'env',
  'volumes',
  'resources',
] as const
type ContainerKey = (typeof CONTAINER_KEYS)[number]

const CONTAINER_SYNONYMS = {
  environment: 'did you mean env?',
  entrypoint: 'did you mean command? docker\'s "entrypoint" is "command" here, its "command" is "args"',
  cmd: 'did you mean args?',
  working_dir: 'did you mean workingDir?',
  cwd: 'did you mean workingDir?',
  mounts: 'did you mean volumes?',
  volumeMounts: 'did you mean volumes?',
  container_name: 'did you mean name?',
  hostname: 'did you mean host?',
  expose: 'did you mean ports?',
  build: 'an image has to be built first: docker build -t my-app . and then image: my-app',
  cpu: 'write resources: {cpu: 500m}',
  memory: 'write resources: {memory: 256Mi}',
  source: 'did you mean sources? it is a list',
  replicas: 'replicas belongs to the pod, beside containers',
}
/** Longer than any image reference or path of an archive. */
const MAX_IMAGE_TEXT = 1024

export interface ReadContainer {
  readonly container: ContainerManifest
  readonly ports: readonly ReadPort[]
  readonly node: YamlNode
}

/** A container's fields, before it has a name. */
export interface ContainerDraft {
  readonly node: YamlNode
  readonly fields: Fields<ContainerKey>
  readonly image: string
}

export function readDraft(node: YamlNode): ContainerDraft {
  const fields = readFields(node, CONTAINER_KEYS, { synonyms: CONTAINER_SYNONYMS })
  if (isMissing(node, 'image'))
    fail(node, 'the container has no image', { hint: 'such as image: docker.io/library/nginx:1.29' })
  return { node, fields, image: fields.image === undefined ? '' : readImage(fields.image) }
}

function readImage(node: YamlNode): string {
  const image = readText(node, 'the name of an image')
  if (node.kind !== 'scalar') return ''
  if (image.length > MAX_IMAGE_TEXT || !isImageName(image)) fail(node, `${describe(node)} is not ${IMAGE_NAME}`)
  return image
}

/** One name for each draft: the given ones first, so that no derived one takes them. */
export function nameContainers(drafts: readonly ContainerDraft[]): readonly string[] {
  const taken = new Set<string>()
  const given = drafts.map(({ fields }) => (fields.name === undefined ? undefined : readName(fields.name, taken)))
  return drafts.map((draft, index) => {
    const name = given[index] ?? uniqueLabel(imageBaseName(draft.image), taken, { fallback: 'container' })
    taken.add(name)
    return name
  })
}

function readName(node: YamlNode, taken: Set<string>): string {
  const name = readText(node, DNS_LABEL)
  if (node.kind === 'scalar' && !isDnsLabel(name))
    fail(node, `${describe(node)} is no container name, wanted ${DNS_LABEL}`)
  else if (taken.has(name)) fail(node, `a container named ${quote(name)} is already there`)
  taken.add(name)
  return name
}

/** "ghcr.io/acme/web:1@sha256:…" and "oci:build/web:1" and "docker-archive:web.tar.gz" are "web". */
function imageBaseName(image: string): string {
  const place = parseImagePlace(image)
  if (place?.kind === 'ipfs') return ''
  if (place && 'path' in place) return (place.path.split('/').at(-1) ?? '').replace(/\.tar(\.\w+)?$/, '')
  const path = (place?.name ?? image).split('@')[0] ?? ''
  return (path.split('/').at(-1) ?? '').split(':')[0] ?? ''
}

export function readContainer(draft: ContainerDraft, options: { name: string; table: VolumeTable }): ReadContainer {
  const { fields, node, image } = draft
  const ports = readPorts(fields)
  const container: ContainerManifest = {
    name: options.name,
    image,
    sources: readSources(fields.sources),
    command: readWords(fields.command),
    args: readWords(fields.args),
    workingDir: fields.workingDir === undefined ? '' : readWorkingDir(fields.workingDir),
    ports: ports.map(({ port }) => port),
    env: readEnv(fields.env),
    mounts: readMounts(fields.volumes, options.table),
    resources: readResources(fields.resources, node),
  }
  return { container, ports, node }
}

function readSources(node: YamlNode | undefined): readonly string[] {
  const seen = new Set<string>()
  for (const item of readItems(node, { wanted: 'a list of addresses', max: MAX_SOURCES })) {
    const text = readText(item, SOURCE_ADDRESS)
    if (item.kind !== 'scalar') continue
    if (!parseSourceAddress(text)) fail(item, `${describe(item)} is no source of blocks, wanted ${SOURCE_ADDRESS}`)
    else if (seen.has(text)) fail(item, `the source ${quote(text)} is there twice`)
    seen.add(text)
  }
  return [...seen]
}

function readWorkingDir(node: YamlNode): string {
  const path = shortestPath(readText(node, 'an absolute path'))
  const bad = whyBadPath(path)
  if (bad !== undefined) fail(node, `the path ${quote(path)} ${bad}`, { hint: 'such as /srv/app' })
  return path
}
