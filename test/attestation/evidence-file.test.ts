/** Evidence that a provider gave is kept, and judged again by the command line without it. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { attest, type ReceivedEvidence } from '@trusted-pods/publisher/attest.ts'
import { dial } from '@trusted-pods/publisher/dial.ts'
import { formatEvidenceFile, parseEvidenceFile } from '@trusted-pods/publisher/evidence-file.ts'
import { runProgram } from 'trustedpods/program.ts'
import { startFakeProvider } from '../support/fake-provider.ts'
import { memoryStream } from '../support/memory-stream.ts'

let home: string
let received: ReceivedEvidence

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'tp-evidence-'))
  await using provider = await startFakeProvider()
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  const peer = await dial(node, provider.offer)
  const kept: ReceivedEvidence[] = []
  await attest(peer, provider.policy, {
    onEvidence: (evidence) => kept.push(evidence),
    platformIds: [new Uint8Array(64)],
  })
  await peer[Symbol.asyncDispose]()
  await node.stop()
  assert.equal(kept.length, 1)
  received = kept[0] ?? assert.fail()
  const policy = await readFile(resolve(import.meta.dirname, '../../examples/policy-simulated.yml'), 'utf8')
  const [root = ''] = provider.policy.simulatedRoots
  await writeFile(join(home, 'policy.yaml'), policy.replace('0'.repeat(64), root))
})

after(() => rm(home, { recursive: true }))

async function verify(text: string, ...flags: string[]) {
  const path = join(home, 'evidence.json')
  await writeFile(path, text)
  const [stdout, stderr] = [memoryStream(), memoryStream()]
  const args = ['verify', path, '--policy', join(home, 'policy.yaml'), ...flags]
  const { signal } = new AbortController()
  const code = await runProgram(args, { stdout, stderr, stdin: Readable.from([]), env: { HOME: home }, signal })
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}

function change(edit: (fields: Record<string, unknown>) => void): string {
  const fields = JSON.parse(formatEvidenceFile(received)) as Record<string, unknown>
  edit(fields)
  return JSON.stringify(fields)
}

test('an evidence file holds what was received', () => {
  assert.deepEqual(parseEvidenceFile(formatEvidenceFile(received)), received)
})

test('kept evidence is accepted offline, and it is said that freshness cannot be judged', async () => {
  const { code, stdout, stderr } = await verify(formatEvidenceFile(received))
  assert.equal(code, 0, stdout)
  assert.match(stdout, /SIMULATED - NOT CONFIDENTIAL/)
  assert.match(stdout, /✔ binding\.nonce/)
  assert.doesNotMatch(stdout, /binding\.stale/)
  assert.match(stderr, /fresh then cannot be judged offline/)
})

test('the verdict is JSON where it is asked for', async () => {
  const { code, stdout } = await verify(formatEvidenceFile(received), '-o', 'json')
  const result = JSON.parse(stdout) as { accepted: boolean; freshness: string; verdict: { tier: string } }
  assert.deepEqual([code, result.accepted, result.freshness, result.verdict.tier], [0, true, 'not judged', 'warning'])
})

test('it is judged as at the time that is given', async () => {
  const { code, stdout } = await verify(formatEvidenceFile(received), '--now', '2099-01-01T00:00:00Z')
  assert.equal(code, 5)
  assert.match(stdout, /✘ chain\.expired/)
  assert.equal((await verify(formatEvidenceFile(received), '--now', 'soon')).code, 2)
})

test('evidence for another nonce or another peer is refused with 5', async () => {
  for (const [key, codeWanted] of [
    ['nonce', /✘ binding\.nonce/],
    ['publisherPeerId', /✘ binding\.publisher/],
    ['providerPeerId', /✘ binding\.provider/],
  ] as const) {
    const { code, stdout } = await verify(change((fields) => Object.assign(fields, { [key]: '00'.repeat(32) })))
    assert.equal(code, 5)
    assert.match(stdout, codeWanted)
  }
})

test('a file of another form is refused with 5, one that is not there with 2', async () => {
  for (const text of [
    '',
    '[]',
    change((fields) => delete fields.nonce),
    change((fields) => Object.assign(fields, { more: 1 })),
    change((fields) => Object.assign(fields, { version: 2 })),
    change((fields) => Object.assign(fields, { receivedAt: 'yesterday' })),
    change((fields) => Object.assign(fields, { nonce: 'xyz' })),
    change((fields) => Object.assign(fields, { platformIds: 'ab' })),
    change((fields) => Object.assign(fields, { evidence: '!!' })),
    change((fields) => Object.assign(fields, { evidence: '////' })),
    ' '.repeat(4 * 1024 * 1024 + 1),
  ]) {
    const { code, stderr } = await verify(text)
    assert.equal(code, 5, text.slice(0, 60))
    assert.match(stderr, /ATTEST_EVIDENCE_MALFORMED/)
  }
  const [stdout, stderr] = [memoryStream(), memoryStream()]
  const args = ['verify', join(home, 'none.json'), '--policy', join(home, 'policy.yaml')]
  const { signal } = new AbortController()
  assert.equal(await runProgram(args, { stdout, stderr, stdin: Readable.from([]), env: { HOME: home }, signal }), 2)
})

test('a file cut at any length is refused', () => {
  const text = formatEvidenceFile(received)
  for (let length = 0; length < text.length - 2; length += 1 + Math.floor(length / 200)) {
    assert.throws(() => parseEvidenceFile(text.slice(0, length)), { code: 'ATTEST_EVIDENCE_MALFORMED' })
  }
})
