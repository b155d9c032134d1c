// Makes package-lock.json anew and whole: npm leaves out optional packages of other platforms when node_modules exists or a
// registry does not carry them, and `npm ci` then refuses the file.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findNode24 } from '../packages/platform/bin/node24.mjs'

const folder = mkdtempSync(join(tmpdir(), 'trusted-pods-lock-'))
try {
  copyFileSync('package.json', join(folder, 'package.json'))
  for (const name of readdirSync('packages')) {
    mkdirSync(join(folder, 'packages', name), { recursive: true })
    copyFileSync(join('packages', name, 'package.json'), join(folder, 'packages', name, 'package.json'))
  }
  const npm = spawnSync('sh', ['-c', 'readlink -f "$(command -v npm)"'], { encoding: 'utf8' }).stdout.trim()
  const args = [npm, 'install', '--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund']
  const { status } = spawnSync(findNode24(), args, { cwd: folder, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
  const lock = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8'))
  lock.packages = withOtherPlatforms(lock.packages)
  writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`)
} finally {
  rmSync(folder, { recursive: true })
}

/** Entries for the optional packages that no entry stands for: never installed here, their platform read off their names. */
function withOtherPlatforms(packages) {
  const whole = { ...packages }
  for (const { optionalDependencies = {} } of Object.values(packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      const path = `node_modules/${name}`
      if (!(path in whole)) whole[path] = { version, ...platformOf(name), optional: true }
    }
  }
  return Object.fromEntries(Object.entries(whole).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function platformOf(name) {
  const words = name.split(/[/-]/)
  const os = ['darwin', 'win32', 'linux', 'android', 'freebsd', 'openharmony'].filter((word) => words.includes(word))
  const cpu = words
    .map((word) => (word === 'amd64' ? 'x64' : word.replace(/^armv7$/, 'arm')))
    .filter((word) => ['x64', 'arm64', 'arm', 'ia32', 'ppc64', 'riscv64', 's390x', 'wasm32'].includes(word))
  const libc =
    words.includes('musl') || words.includes('musleabihf')
      ? ['musl']
      : words.includes('gnu') || words.includes('gnueabihf')
        ? ['glibc']
        : undefined
  return { ...(cpu.length > 0 && { cpu }), ...(os.length > 0 && { os }), ...(libc && { libc }) }
}
