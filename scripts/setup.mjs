// Makes a fresh machine ready: npm packages, then the Debian packages that a purpose needs. Says what it does, quick when
// nothing is to be done. Plain JavaScript that runs on Node 20.   setup.mjs [demo|test]
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

// Program that must be there -> Debian package that brings it. Optional ones are skipped aloud.
const NEEDED = {
  dockerd: 'docker.io',
  busybox: 'busybox-static',
  iptables: 'iptables',
  nft: 'nftables',
  ip: 'iproute2',
}
// Outside judges and a real browser (chromium: 110 MB to fetch and 360 MB on disk, besides its libraries).
const WANTED_BY_TESTS = { skopeo: 'skopeo', chromium: 'chromium' }

function say(text) {
  process.stderr.write(`setup: ${text}\n`)
}

function installPackages() {
  const stamp = join(root, 'node_modules', '.trusted-pods-lock')
  const digest = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
  say('installing npm packages (npm ci; about 800 MB with Node 24, anvil and forge; a minute or two)')
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  })
  if (status !== 0) {
    say('npm ci failed; see above')
    process.exit(1)
  }
  writeFileSync(stamp, digest)
}

function findProgram(name) {
  const folders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
  return folders.some((folder) => statSync(join(folder, name), { throwIfNoEntry: false })?.isFile())
}

function dockerAnswers() {
  return existsSync('/var/run/docker.sock') || Boolean(process.env.DOCKER_HOST)
}

/** Names of Debian packages. Without the needed ones nothing works; without a wanted one some tests are skipped. */
function missingPackages(purpose) {
  const missing = (programs) => Object.entries(programs).filter(([program]) => !findProgram(program))
  const needed = missing(NEEDED).filter(([program]) => program !== 'dockerd' || purpose === 'test' || !dockerAnswers())
  const wanted = purpose === 'test' ? missing(WANTED_BY_TESTS) : []
  return { needed: needed.map(([, name]) => name), wanted: wanted.map(([, name]) => name) }
}

function installDebianPackages(purpose) {
  const { needed, wanted } = missingPackages(purpose)
  const names = [...needed, ...wanted]
  if (names.length === 0) return
  if (!findProgram('apt-get')) {
    say(`missing on this machine, and no apt-get to install them: ${names.join(' ')}; please install them`)
    return
  }
  const isRoot = process.getuid() === 0
  say(`installing Debian packages: ${names.join(' ')}${isRoot ? '' : ' (by sudo)'}`)
  if (!runApt('update')) say('apt-get update failed; going on with the lists that are there')
  if (needed.length > 0 && !runApt('install', '-y', '--no-install-recommends', ...needed)) {
    say(`apt-get could not install ${needed.join(' ')}; see above`)
    process.exit(1)
  }
  // One by one: a package that this machine's archive lacks must not keep the others away.
  for (const name of wanted) {
    if (runApt('install', '-y', '--no-install-recommends', name)) continue
    say(`apt-get could not install ${name}; see above. Going on: the tests that need it are skipped`)
  }
}

function runApt(...args) {
  const sudo = process.getuid() === 0 ? [] : ['sudo']
  const [program, ...rest] = [...sudo, 'apt-get', '-qq', '-o', 'Dpkg::Use-Pty=0', ...args]
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  return spawnSync(program, rest, { stdio: ['inherit', 2, 2], env }).status === 0
}

installPackages()
const purpose = process.argv[2]
if (purpose) installDebianPackages(purpose)
