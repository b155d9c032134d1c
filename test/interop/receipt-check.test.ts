/** Two implementations of the receipt check, one of them in another language and written from the specification: they must agree. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { signReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import { QuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { type Usage, UsageSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { formatReceiptFile, type ReceiptFile } from '@trusted-pods/publisher/receipt-file.ts'
import { judgeReceiptFile } from '@trusted-pods/publisher/verify-receipt-file.ts'
import { METER, PAYER, receiptFile } from '../support/receipt-file-fixture.ts'

const PROGRAM = fileURLToPath(new URL('receipt_check.py', import.meta.url))
const skip = spawnSync('python3', ['--version']).status === 0 ? false : 'python3 is missing'

let folder: string
let file: ReceiptFile
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'receipt-check-'))
  file = await receiptFile()
})
after(() => rm(folder, { recursive: true, force: true }))

async function byPython(changed: ReceiptFile) {
  const path = join(folder, 'receipt.json')
  await writeFile(path, formatReceiptFile(changed))
  const { status, stdout } = spawnSync('python3', [PROGRAM, path], { encoding: 'utf8' })
  return { holds: status === 0, stdout }
}

/** The check at which either ends. */
async function requireSame(change: Partial<ReceiptFile>, wanted: string): Promise<void> {
  const changed = { ...file, ...change }
  const [ours, theirs] = [await judgeReceiptFile(changed), await byPython(changed)]
  assert.deepEqual([ours.holds, theirs.holds], [wanted === 'holds', wanted === 'holds'], `${wanted}: ${theirs.stdout}`)
  if (wanted === 'holds') return
  assert.equal(ours.checks.at(-1)?.name, wanted)
  assert.match(theirs.stdout, new RegExp(`refused ${wanted}|refused the signature|refused a message|refused the file`))
}

test('both accept a receipt that holds', { skip }, () => requireSame({}, 'holds'))

test('both refuse what was changed, at the same check', { skip }, async () => {
  const { terms } = file
  const zeros = new Uint8Array(65)
  await requireSame({ chainId: 2n }, 'channel')
  await requireSame({ terms: { ...terms, unlockDelay: 3601 } }, 'channel')
  await requireSame({ quote: { ...file.quote, signature: zeros } }, 'quote')
  await requireSame(
    {
      quote: {
        ...file.quote,
        quote: toBinary(QuoteSchema, create(QuoteSchema, fromBinary(QuoteSchema, file.quote.quote))).slice(1),
      },
    },
    'quote',
  )
  await requireSame({ podDigest: new Uint8Array(32) }, 'pod')
  await requireSame({ authorization: zeros }, 'pod')
  await requireSame({ receipt: { ...file.receipt, cumulative: '1' } }, 'receipt')
  await requireSame({ receipt: { ...file.receipt, usageHash: new Uint8Array(32) } }, 'receipt')
})

test('both refuse what the meter itself has signed wrongly', { skip }, async () => {
  const usage = fromBinary(UsageSchema, file.receipt.usage)
  const quote = fromBinary(QuoteSchema, file.quote.quote)
  const signed = async (change: Partial<Usage>, account = METER) => {
    const { chainId, escrow, terms } = file
    const table = quote.pricing ?? assert.fail('no prices')
    return {
      receipt: await signReceipt(create(UsageSchema, { ...usage, ...change }), {
        chainId,
        escrow,
        account,
        terms,
        table,
      }),
    }
  }
  const [cpu, ...others] = usage.counters
  assert.ok(cpu)
  await requireSame(await signed({}), 'holds')
  await requireSame(await signed({ counters: others }), 'holds')
  await requireSame(await signed({ runningSeconds: 3_602n }), 'receipt')
  await requireSame(await signed({ podId: new Uint8Array(32) }), 'receipt')
  await requireSame(await signed({ counters: [cpu, cpu, ...others] }), 'receipt')
  await requireSame(await signed({ counters: [{ ...cpu, value: '1' }, ...others] }), 'receipt')
  const used = (value: string) =>
    usage.counters.map((counter) => (counter.resource === 'egress-bandwidth' ? { ...counter, value } : counter))
  const allowance = quote.resources.find(({ name }) => name === 'egress-bandwidth')?.quantity ?? 0n
  const most = (allowance * usage.runningSeconds) / 3600n
  await requireSame(await signed({ counters: used(most.toString()) }), 'holds')
  await requireSame(await signed({ counters: used((most + 1n).toString()) }), 'receipt')
  await requireSame(await signed({}, PAYER), 'receipt')
})
