/** How many copies of a pod run. Spec: spec/MANIFEST.md#replicas. Pure. */
import { describe, readFields, readInteger } from './fields.ts'
import { MAX_REPLICAS, type ReplicasManifest } from './manifest.ts'
import { fail, type YamlNode } from './yaml-tree.ts'

const ONE: ReplicasManifest = { min: 1, max: 1 }
const SYNONYMS = { minReplicas: 'did you mean min?', maxReplicas: 'did you mean max?' }

/** One where nothing is said; where one bound is given, the other is as near to 1 as it can be. */
export function readReplicas(node: YamlNode | undefined, options: { readonly hasHost: boolean }): ReplicasManifest {
  if (node === undefined) return ONE
  if (node.kind === 'scalar') {
    fail(node, `replicas is ${describe(node)}, wanted a map with min and max`, {
      ...(/^[1-9]\d*$/.test(node.text) ? { hint: `write {min: ${node.text}, max: ${node.text}}` } : {}),
    })
    return ONE
  }
  const fields = readFields(node, ['min', 'max'], { synonyms: SYNONYMS })
  const least = fields.min === undefined ? undefined : readInteger(fields.min, { min: 0, max: MAX_REPLICAS })
  const most = fields.max === undefined ? undefined : readInteger(fields.max, { min: 1, max: MAX_REPLICAS })
  const min = least ?? 1
  const max = most ?? Math.max(min, 1)
  if (min > max) fail(fields.min ?? node, `min is ${min}, max is ${max}, wanted min at most max`)
  if (min === 0 && fields.min !== undefined && !options.hasHost) {
    fail(fields.min, 'min is 0 and no port has a host', {
      hint: 'a sleeping pod is woken by an HTTP request: give a port a host, or set min: 1',
    })
  }
  return { min, max }
}
