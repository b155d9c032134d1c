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
const WANTED_BY_TESTS = { skopeo: 'skopeo' }

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

function missingPackages(purpose) {
  const wanted = purpose === 'test' ? { ...NEEDED, ...WANTED_BY_TESTS } : NEEDED
  const missing = Object.entries(wanted).filter(([program]) => !findProgram(program))
  return missing.filter(([program]) => program !== 'dockerd' || purpose === 'test' || !dockerAnswers())
}

function installDebianPackages(purpose) {
  const missing = missingPackages(purpose)
  if (missing.length === 0) return
  const names = missing.map(([, name]) => name)
  if (!findProgram('apt-get')) {
    say(
      `not on this machine: ${missing.map(([program]) => program).join(', ')}, and no apt-get to install ${names.join(', ')}: please install them`,
    )
    return
  }
  const isRoot = process.getuid() === 0
  const sudo = isRoot ? [] : ['sudo']
  say(`installing Debian packages: ${names.join(' ')}${isRoot ? '' : ' (by sudo)'}`)
  const run = (...args) =>
    spawnSync([...sudo, ...args][0], [...sudo, ...args].slice(1), {
      stdio: ['inherit', 2, 2],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    }).status === 0
  const apt = ['apt-get', '-qq', '-o', 'Dpkg::Use-Pty=0']
  if (!run(...apt, 'update')) say('apt-get update failed; going on with the lists that are there')
  if (run(...apt, 'install', '-y', '--no-install-recommends', ...names)) return
  say(`apt-get could not install ${names.join(' ')}; see above`)
  process.exit(1)
}

installPackages()
const purpose = process.argv[2]
if (purpose) installDebianPackages(purpose)
