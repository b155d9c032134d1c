/**
 * Compares what an engine made with what was asked: engines drop limits and sandboxes that they do not know without a word.
 * Pure. Spec: docs/runtime.md#verify.
 */
import { at, textsAt } from '@trusted-pods/platform/engine/json-view.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { RenderedContainer } from './container-spec.ts'

/** @param inspection ContainerInspect of the engine. @param imageId the engine's id of the image that was wanted.
 * @throws TrustedPodsError PROVISION_RUNTIME_MISMATCH naming each field that differs. */
export function requireAsCreated(
  { name, body }: RenderedContainer,
  { inspection, imageId }: { inspection: unknown; imageId: string },
): void {
  const { HostConfig, Image: _, Env, Labels, ...config } = body
  const missingEnv = textsAt(Env).filter((line) => !textsAt(inspection, 'Config', 'Env').includes(line))
  const differing = [
    ...differences(imageId, at(inspection, 'Image'), 'Image'),
    // Of these only the names: arguments and variables may be secret.
    ...missingEnv.map((line) => `Config.Env ${line.split('=', 1)[0]}`),
    ...Object.entries(config).flatMap(([key, value]) =>
      differences(value, at(inspection, 'Config', key), `Config.${key}`).map(pathOf),
    ),
    ...differences(Labels, at(inspection, 'Config', 'Labels'), 'Config.Labels'),
    ...differences(HostConfig, at(inspection, 'HostConfig'), 'HostConfig'),
  ]
  if (differing.length === 0) return
  throw new TrustedPodsError(
    'PROVISION_RUNTIME_MISMATCH',
    `the engine made ${name} otherwise than asked: ${differing.join('; ').slice(0, 1000)}`,
  )
}

/** Paths at which `seen` lacks what `wanted` has. Fields that only `seen` has are the engine's own; a list
 * is equal whole, and what is wanted empty is empty. */
export function differences(wanted: unknown, seen: unknown, path: string): string[] {
  if (isEmpty(wanted) && isEmpty(seen)) return []
  if (Array.isArray(wanted)) {
    if (!Array.isArray(seen) || seen.length !== wanted.length) return [differs(wanted, seen, path)]
    return wanted.flatMap((item, i) => differences(item, seen[i], `${path}.${i}`))
  }
  if (typeof wanted === 'object' && wanted !== null && !isEmpty(wanted)) {
    return Object.entries(wanted).flatMap(([key, value]) => differences(value, at(seen, key), `${path}.${key}`))
  }
  return wanted === seen ? [] : [differs(wanted, seen, path)]
}

/** Engines write an empty list, object, string and false as null or leave them out. */
function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

function differs(wanted: unknown, seen: unknown, path: string): string {
  return `${path} is ${short(seen)}, ${short(wanted)} was wanted`
}

function pathOf(difference: string): string {
  return difference.split(' ', 1)[0] ?? ''
}

function short(value: unknown): string {
  return (JSON.stringify(value) ?? 'absent').slice(0, 120)
}
