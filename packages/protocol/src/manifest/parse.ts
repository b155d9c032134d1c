/** From the text of a manifest to its normal form, with every problem found at its line and column. Spec: spec/MANIFEST.md.
 * Pure. */
import { LineCounter } from 'yaml'
import { TrustedPodsError } from '../errors.ts'
import { MAX_CONTAINERS, MAX_VOLUMES } from '../wire/protocols.ts'
import { describe, isMissing, readFields, readItems, readText } from './fields.ts'
import { MAX_MANIFEST_BYTES, type Manifest } from './manifest.ts'
import { createReport, formatProblem, type Problem, type Report } from './problem.ts'
import { MAX_QUANTITY } from './quantity.ts'
import { nameContainers, type ReadContainer, readContainer, readDraft } from './read-container.ts'
import { checkPorts } from './read-ports.ts'
import { readReplicas } from './read-replicas.ts'
import { checkVolumesUsed, readVolumes } from './read-volumes.ts'
import { manifestResources } from './resources.ts'
import { fail, readYaml, type YamlNode } from './yaml-tree.ts'

export interface ParseOptions {
  /** The file's name, for messages. */
  readonly file?: string
}

export interface CheckedManifest {
  /** Absent when a problem is an error. */
  readonly manifest?: Manifest
  /** All of them, in the file's order. */
  readonly problems: readonly Problem[]
}

const TOP_KEYS = ['type', 'version', 'containers', 'replicas', 'volumes'] as const
const TOP_SYNONYMS = {
  services: 'this looks like a docker-compose file: a manifest has type, version and containers',
  apiVersion: 'this looks like a Kubernetes object: a manifest has type, version and containers',
  kind: 'this looks like a Kubernetes object: did you mean type?',
  spec: 'this looks like a Kubernetes object: containers stand at the top',
  image: 'image belongs to a container: containers: - image: …',
}

/** All problems of a manifest in one run; never throws. */
export function checkManifest(text: string, options: ParseOptions = {}): CheckedManifest {
  const { manifest, report } = inspect(text, options)
  const problems = report.problems()
  return manifest === undefined ? { problems } : { manifest, problems }
}

/** The manifest in its normal form; warnings are left out.
 * @throws TrustedPodsError MANIFEST_SYNTAX (not YAML, or YAML that is not taken), MANIFEST_INVALID: one line per problem. */
export function parseManifest(text: string, options: ParseOptions = {}): Manifest {
  const { manifest, report } = inspect(text, options)
  if (manifest !== undefined) return manifest
  const errors = report.problems().filter((problem) => problem.severity === 'error')
  const code = report.has('syntax') ? 'MANIFEST_SYNTAX' : 'MANIFEST_INVALID'
  throw new TrustedPodsError(code, errors.map(formatProblem).join('\n'))
}

interface Inspected {
  readonly manifest?: Manifest
  readonly report: Report
}

function inspect(text: string, options: ParseOptions): Inspected {
  const bytes = new TextEncoder().encode(text).length
  if (bytes > MAX_MANIFEST_BYTES) {
    const report = createReport(new LineCounter(), options)
    fail({ offset: 0, path: '', report }, `the manifest has ${bytes} bytes, at most ${MAX_MANIFEST_BYTES} are taken`)
    return { report }
  }
  const { root, report } = readYaml(text, options)
  if (root === undefined && !report.has('syntax')) {
    fail({ offset: 0, path: '', report }, 'the manifest is empty', { hint: 'begin with type: trustedpods' })
  }
  if (root === undefined) return { report }
  const manifest = readManifest(root)
  return report.has('syntax') || report.has('error') ? { report } : { manifest, report }
}

function readManifest(root: YamlNode): Manifest {
  const fields = readFields(root, TOP_KEYS, { synonyms: TOP_SYNONYMS })
  readExactly(root, fields.type, { key: 'type', wanted: 'trustedpods' })
  readExactly(root, fields.version, { key: 'version', wanted: '1.0' })
  const table = readVolumes(fields.volumes)
  const read = readContainers(root, fields.containers, table)
  checkPorts(new Map(read.map(({ container, ports }) => [container.name, ports])))
  checkVolumesUsed(table)
  const hasHost = read.some(({ container }) => container.ports.some((port) => port.httpHost !== ''))
  const replicas = readReplicas(fields.replicas, { hasHost })
  const manifest = { containers: read.map(({ container }) => container), replicas, volumes: table.volumes }
  checkTotals(root, manifest)
  return manifest
}

/** `type` and `version`: what marks the file as one of ours. */
function readExactly(root: YamlNode, node: YamlNode | undefined, options: { key: string; wanted: string }): void {
  const { key, wanted } = options
  if (isMissing(root, key)) fail(root, `${key} is missing`, { hint: `add ${key}: ${JSON.stringify(wanted)}` })
  if (node === undefined || readText(node, wanted) === wanted || node.kind !== 'scalar') return
  fail(node, `${key} is ${describe(node)}, wanted ${wanted}`)
}

function readContainers(
  root: YamlNode,
  node: YamlNode | undefined,
  table: ReturnType<typeof readVolumes>,
): readonly ReadContainer[] {
  if (isMissing(root, 'containers')) {
    fail(root, 'containers is missing', { hint: 'a pod has at least one container' })
  }
  if (node?.kind === 'list' && node.items.length === 0) fail(node, 'there is no container, wanted at least one')
  const drafts = readItems(node, { wanted: 'a list of containers', max: MAX_CONTAINERS }).map(readDraft)
  const names = nameContainers(drafts)
  return drafts.map((draft, index) => readContainer(draft, { name: names[index] ?? '', table }))
}

/** What only the whole shows: sums that the wire cannot carry. */
function checkTotals(root: YamlNode, manifest: Manifest): void {
  if (manifest.volumes.length > MAX_VOLUMES) {
    fail(root, `${manifest.volumes.length} volumes, inline ones included, at most ${MAX_VOLUMES} are taken`)
  }
  for (const { name, quantity } of manifestResources(manifest)) {
    if (quantity > MAX_QUANTITY) fail(root, `the pod asks for ${quantity} of ${name} in all, at most ${MAX_QUANTITY}`)
  }
}
