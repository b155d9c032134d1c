/** Priced traffic through the whole of it: asked for in the manifest, quoted, counted, billed, and verified by the publisher. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fromBinary } from '@bufbuild/protobuf'
import { UsageSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { deploy } from '@trusted-pods/publisher/deploy.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import { watchStatus } from '@trusted-pods/publisher/status.ts'
import { stopLease } from '@trusted-pods/publisher/stop.ts'
import { assertRefused } from '../support/assert-refused.ts'
import { readHelloManifest } from '../support/example.ts'
import { getByHost } from '../support/http.ts'
import { startPublisher, startWorld, type World } from '../support/world.ts'

/** A provider that prices what pods send. */
async function priceEgress(world: World): Promise<void> {
  const { providerConfig } = world.places
  const edit = async (path: string, change: (text: string) => string) =>
    await writeFile(path, change(await readFile(path, 'utf8')))
  await world.killProvider()
  await edit(join(dirname(providerConfig), 'prices.yaml'), (text) => `${text}  egress-bandwidth: 1 tUSDC per GiB\n`)
  await edit(providerConfig, (text) => text.replace('capacity: {', 'capacity: {egress-bandwidth: 10Gi, '))
  await world.startProvider()
}

const ASKING = (text: string) => text.replace('resources: {cpu: 100m,', 'resources: {egress-bandwidth: 1Gi, cpu: 100m,')

test('a pod pays for what it sends, within the allowance that its manifest asks for', {
  timeout: 180_000,
}, async () => {
  await using world = await startWorld()
  await priceEgress(world)
  await using publisher = await startPublisher(world)
  const start = async (manifest: Parameters<typeof deploy>[0]) => {
    let lease: Lease | undefined
    for await (const event of deploy(manifest, await world.offer(), publisher.options()))
      if (event.step === 'status') lease = event.lease
    return lease ?? assert.fail('no lease')
  }
  await assertRefused('QUOTE_BAD_REQUEST', /egress-bandwidth is priced here by use/, async () =>
    start(await readHelloManifest()),
  )
  const lease = await start(await readHelloManifest(ASKING))
  for (let i = 0; i < 50; i++) await getByHost(world.ready.http, 'hello.localhost')
  const signal = AbortSignal.timeout(60_000)
  for await (const { receipt } of watchStatus(publisher.node, lease, { follow: true, signal })) {
    assert.notEqual(receipt.kind, 'invalid')
    if (receipt.kind !== 'verified') continue
    const { counters } = fromBinary(UsageSchema, receipt.receipt.usage)
    const sent = Number(counters.find(({ resource }) => resource === 'egress-bandwidth')?.value ?? 0)
    // Fifty pages of some 200 bytes, with headers.
    if (sent > 10_000) break
  }
  const outcome = await stopLease(publisher.chain, lease, { node: publisher.node, leases: publisher.options().leases })
  assert.equal(outcome.kind, 'ended')
})
