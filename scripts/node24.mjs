// Runs a TypeScript entry on Node 24, whatever Node this is: node24.mjs <entry> [arguments].
import { runOnNode24 } from '../packages/platform/bin/node24.mjs'

const [entry, ...args] = process.argv.slice(2)
if (!entry) throw new Error('usage: node24.mjs <entry> [arguments]')
runOnNode24([entry, ...args])
