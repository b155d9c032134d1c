/** What an image's config said before it was sealed reaches the container as it would have from the image. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifest } from './parse.ts'
import { toWire } from './to-wire.ts'

const DEFAULTS = {
  env: ['PATH=/bin', 'A=image', 'A=last=one'],
  entrypoint: ['/run'],
  cmd: ['--fast'],
  workingDir: '/srv',
}

function containerOf(more: string) {
  const yaml = `type: trustedpods\nversion: "1.0"\ncontainers:\n  - image: app\n    resources: {cpu: 100m, memory: 64Mi}\n${more}`
  const manifest = parseManifest(yaml)
  const image = { cid: new Uint8Array(36), privateKey: new Uint8Array(138), defaults: DEFAULTS }
  const [container] = toWire(manifest, { images: new Map([['app', image]]), secrets: new Map() }).containers
  const { command, args, workingDir, env } = container ?? assert.fail()
  return { command, args, workingDir, env: env.map(({ name, value }) => `${name}=${value}`) }
}

test('a manifest that says nothing gets what the image said', () => {
  assert.deepEqual(containerOf(''), {
    command: ['/run'],
    args: ['--fast'],
    workingDir: '/srv',
    env: ['PATH=/bin', 'A=last=one'],
  })
})

test('what the manifest says wins; its command takes the image’s arguments away, its arguments leave the entrypoint', () => {
  assert.deepEqual(containerOf('    args: [--slow]\n    env: {A: mine, B: new}\n    workingDir: /tmp\n'), {
    command: ['/run'],
    args: ['--slow'],
    workingDir: '/tmp',
    env: ['PATH=/bin', 'A=mine', 'B=new'],
  })
  const { command, args } = containerOf('    command: [/other]\n')
  assert.deepEqual({ command, args }, { command: ['/other'], args: [] })
})
