#!/usr/bin/env node
// The Solidity compiler of npm behind the command line that forge expects of a native one:
// `--version`, else a standard JSON input on stdin. Runs on any Node from 20.
import { readFileSync } from 'node:fs'
import solc from 'solc'

if (process.argv.includes('--version')) {
  // forge takes a version only from a platform that it knows.
  process.stdout.write(`solc\nVersion: ${solc.version().replace('.Emscripten.clang', '.Linux.g++')}\n`)
} else {
  process.stdout.write(solc.compile(readFileSync(0, 'utf8'), { import: readSource }))
}

/** A source that the input lacks is looked for on disk, as the native compiler does; forge starts it in its root. */
function readSource(path) {
  try {
    return { contents: readFileSync(path, 'utf8') }
  } catch (error) {
    return { error: error.message }
  }
}
