/** The manifest's environment: a map, or a list of {name, value}. Spec: spec/MANIFEST.md#env. Pure. */
import { MAX_ENV } from '../wire/protocols.ts'
import { checkCount, isMissing, type ListOptions, readFields, readItems, readText } from './fields.ts'
import type { EnvManifest } from './manifest.ts'
import { ENV_NAME, isEnvName, whyBadText } from './names.ts'
import { fail, quote, type YamlNode } from './yaml-tree.ts'

const LIST: ListOptions = { wanted: 'a map of variables', max: MAX_ENV }

export function readEnv(node: YamlNode | undefined): readonly EnvManifest[] {
  if (node?.kind !== 'map') return readEnvList(node)
  checkCount(node, node.entries.length, LIST)
  return node.entries.map(({ key, place, value }) => readVariable({ name: key, nameNode: place, value }))
}

function readEnvList(node: YamlNode | undefined): readonly EnvManifest[] {
  const seen = new Set<string>()
  return readItems(node, LIST).flatMap((item) => {
    if (item.kind === 'scalar') return refuseAssignment(item)
    const fields = readFields(item, ['name', 'value'])
    for (const key of ['name', 'value']) if (isMissing(item, key)) fail(item, `the variable has no ${key}`)
    if (fields.name === undefined) return []
    const name = readText(fields.name, ENV_NAME)
    if (seen.has(name)) fail(fields.name, `the variable ${quote(name)} is set twice`)
    seen.add(name)
    return fields.value === undefined ? [] : [readVariable({ name, nameNode: fields.name, value: fields.value })]
  })
}

/** docker-compose's "NAME=value": the value is not shown, it may be secret. */
function refuseAssignment(item: YamlNode): readonly EnvManifest[] {
  fail(item, `${item.path} is a text, wanted a map with name and value`, { hint: 'write a map: env: {NAME: value}' })
  return []
}

function readVariable(given: {
  name: string
  nameNode: Pick<YamlNode, 'path' | 'offset' | 'report'>
  value: YamlNode
}): EnvManifest {
  const { name, nameNode } = given
  if (!isEnvName(name)) fail(nameNode, `${quote(name)} is no name of a variable, wanted ${ENV_NAME}`)
  if (given.value.kind === 'scalar' && given.value.type === 'null') {
    fail(nameNode, `the variable ${quote(name)} has no value`, { hint: `write "" for an empty one` })
  } else if (given.value.kind !== 'scalar')
    fail(given.value, `the variable ${quote(name)} is a ${given.value.kind}, wanted a text`)
  const value = given.value.kind === 'scalar' ? given.value.text : ''
  const bad = whyBadText(`${name}=${value}`)
  if (bad !== undefined) fail(given.value, `the variable ${quote(name)} ${bad}`)
  return { name, value }
}
