/** What happens in an engine, as it happens. I/O. */
import { type Engine, labelFilter } from './engine-client.ts'
import { jsonLines } from './json-lines.ts'
import { recordAt, textAt, textsOf } from './json-view.ts'

export interface EngineEvent {
  /** start, die, destroy, oom, …; of an exec the command line follows it and is cut off. */
  readonly action: string
  /** Labels of the container, and its name and image. */
  readonly attributes: Readonly<Record<string, string>>
}

/** Events of containers that carry every label, until `signal` or the engine's end.
 * @throws TrustedPodsError PLATFORM_ENGINE_FAILED when the engine goes away. */
export async function* containerEvents(
  engine: Engine,
  labels: Readonly<Record<string, string>>,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<EngineEvent> {
  const filters = { type: ['container'], ...labelFilter(labels) }
  const stream = await engine.open({ path: '/events', query: { filters }, signal })
  for await (const line of jsonLines(stream)) {
    const action = textAt(line, 'Action') || textAt(line, 'status')
    yield {
      action: action.split(':', 1)[0] ?? '',
      attributes: textsOf(recordAt(line, 'Actor', 'Attributes')),
    }
  }
}
