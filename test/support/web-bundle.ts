/** Bundles an entry for the web as a page of ours is bundled: by vite, minified, from the TypeScript sources, in memory. */
import { build, type Rolldown } from 'vite'

export interface BundleOptions {
  /** Real hardware only: nothing that is simulated can be accepted. */
  readonly production: boolean
}

const SOURCES = '@trusted-pods/source'
const PRODUCTION = 'trusted-pods-production'

/** One ES module. `entry` is an absolute path. */
export async function bundleForWeb(entry: string, { production }: BundleOptions): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: 'error',
    resolve: { conditions: [SOURCES, ...(production ? [PRODUCTION] : []), 'module', 'browser'] },
    build: {
      write: false,
      modulePreload: false,
      target: 'es2024',
      rolldownOptions: { input: entry, output: { codeSplitting: false } },
    },
  })
  return onlyChunk(result).code
}

function onlyChunk(result: Awaited<ReturnType<typeof build>>): Rolldown.OutputChunk {
  const outputs = Array.isArray(result) ? result : [result]
  const files = outputs.flatMap((output) => ('output' in output ? output.output : []))
  const [file, ...rest] = files
  if (file?.type !== 'chunk' || rest.length > 0) throw new Error(`expected one chunk, got ${files.length} files`)
  return file
}
