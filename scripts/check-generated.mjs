// The committed Protobuf code is what buf generates from proto/ now.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const COMMITTED = 'packages/protocol/src/gen'
const folder = mkdtempSync(join(tmpdir(), 'trusted-pods-gen-'))
try {
  const { status, stderr } = spawnSync('buf', ['generate', '-o', folder], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  const fresh = join(folder, COMMITTED)
  const names = new Set([...list(fresh), ...list(COMMITTED)])
  const stale = [...names].filter((name) => read(join(fresh, name)) !== read(join(COMMITTED, name)))
  if (stale.length > 0) {
    process.stderr.write(`run npm run generate: ${stale.join(', ')} differ from proto/\n`)
    process.exitCode = 1
  }
} finally {
  rmSync(folder, { recursive: true })
}

function list(root) {
  return readdirSync(root, { recursive: true }).filter((name) => name.endsWith('.ts'))
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
