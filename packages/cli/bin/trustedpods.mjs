#!/usr/bin/env node
import { fileURLToPath } from 'node:url'
import { runOnNode24 } from '../../platform/bin/node24.mjs'

/**
 * Megabytes that the heap may have before it is collected whole. Chunks of a layer count for it, though they lie elsewhere: below a small heap
 * they have it collected every few of them, which doubles the time of `image publish`.
 */
const HEAP = '--initial-old-space-size=48'

runOnNode24([HEAP, fileURLToPath(new URL('../src/main.ts', import.meta.url)), ...process.argv.slice(2)])
