/** `trustedpods receipts`: what a pod has cost, to look at, to keep, and to check offline by somebody else. */

import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { formatAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import type { ReceivedEvidence } from '@trusted-pods/publisher/attest.ts'
import { formatReceiptFile, receiptFileOf } from '@trusted-pods/publisher/receipt-file.ts'
import { type JudgedReceipt, judgeReceiptFile, type ReceiptCheck } from '@trusted-pods/publisher/verify-receipt-file.ts'
import type { Command } from 'commander'
import { findLease, LEASE_ARGUMENT, openLeases } from '../connections.ts'
import type { Context } from '../context.ts'
import { readEvidenceFile, writeEvidenceFile } from '../evidence-files.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { shortId } from '../lease-view.ts'
import { readReceiptFile, writeReceiptFile } from '../receipt-files.ts'
import { formatDuration } from '../units.ts'
import type { Run } from './command.ts'

interface ShowFlags {
  export?: string
  saveEvidence?: string
}

interface VerifyFlags {
  evidence?: string
}

export function addReceipts(program: Command, run: Run): void {
  const receipts = program
    .command('receipts')
    .argument('[lease]', LEASE_ARGUMENT)
    .description('show what a pod has cost by its newest verified receipt; asks nobody')
    .option('--export <file>', 'write it with all that proves it, for anybody to verify')
    .option('--save-evidence <file>', 'write the evidence by which its provider was accepted')
    .action((lease: string | undefined, flags: ShowFlags, command: Command) =>
      run(command, (context) => show(context, lease, flags)),
    )
  receipts
    .command('verify')
    .argument('<file>', 'what trustedpods receipts --export has written')
    .description('check an exported receipt offline; exits with 6 when it does not hold')
    .option(
      '--evidence <file>',
      'the evidence that the receipt refers to, as trustedpods receipts --save-evidence writes it',
    )
    .action((file: string, flags: VerifyFlags, command: Command) =>
      run(command, (context) => verify(context, file, flags)),
    )
}

async function show(context: Context, reference: string | undefined, flags: ShowFlags): Promise<ExitCode> {
  const leases = openLeases(context)
  const lease = await findLease(leases, reference)
  const receipt = await leases.receipts.load(lease.id)
  if (!receipt)
    throw new TrustedPodsError(
      'CHANNEL_RECEIPT_INVALID',
      `no receipt of lease ${shortId(lease.id)} is kept: trustedpods status asks its provider for one`,
    )
  const file = receiptFileOf(lease, receipt)
  const received = await leases.evidence.load(lease.id)
  const judged = await judgeReceiptFile(file, received ? { evidence: received.evidence } : {})
  print(context, judged, { lease: lease.id })
  if (flags.saveEvidence !== undefined) await saveEvidence(context, flags.saveEvidence, received)
  if (flags.export !== undefined) {
    await writeReceiptFile(flags.export, formatReceiptFile(file))
    context.output.progress(`receipt written to ${flags.export}`)
    context.output.next(`trustedpods receipts verify ${flags.export}`)
  }
  return judged.holds ? EXIT.OK : EXIT.PAYMENT
}

async function saveEvidence({ output }: Context, path: string, received: ReceivedEvidence | undefined): Promise<void> {
  if (!received) throw new TrustedPodsError('PLATFORM_STATE', 'no evidence of this lease was kept: its pod never ran')
  await writeEvidenceFile(path, received)
  output.progress(`evidence written to ${path}`)
  output.next(`trustedpods verify ${path}`)
}

async function verify(context: Context, path: string, flags: VerifyFlags): Promise<ExitCode> {
  const file = await readReceiptFile(path)
  const evidence = flags.evidence === undefined ? undefined : (await readEvidenceFile(flags.evidence)).evidence
  const judged = await judgeReceiptFile(file, evidence ? { evidence } : {})
  print(context, judged, { channel: file.channelId })
  return judged.holds ? EXIT.OK : EXIT.PAYMENT
}

const MARKS = { proven: '✔', refused: '✘', 'not-judged': '·' } as const

function print({ output }: Context, judged: JudgedReceipt, names: object): void {
  const { colours } = output
  const mark = ({ result }: ReceiptCheck) =>
    result === 'refused'
      ? colours.red(MARKS[result])
      : result === 'proven'
        ? colours.green(MARKS[result])
        : MARKS[result]
  const checks = judged.checks.map((check) => `${mark(check)} ${check.name.padEnd(9)}${boundText(check.detail)}`)
  output.result([...checks, ...totals(judged)].join('\n'), { ...names, ...judgedJson(judged) })
}

function totals({ quote, receipt }: JudgedReceipt): string[] {
  if (!quote || !receipt) return ['the receipt does not hold']
  const { usage, cumulative } = receipt
  const lines = [
    `${formatAmount(cumulative, quote.pricing)} for ${formatDuration(Number(usage.runningSeconds))} of running`,
  ]
  return [
    ...lines,
    ...(usage.exit ? [`ended: ${boundText(exitText(usage.exit))}`] : ['not ended yet, as of this receipt']),
  ]
}

function exitText({ reason, containers }: NonNullable<NonNullable<JudgedReceipt['receipt']>['usage']['exit']>): string {
  const codes = containers.slice(0, 16).map(({ name, exitCode }) => `${name} had exited with ${exitCode}`)
  return [reason || 'no reason told', ...codes].join('; ')
}

function judgedJson({ checks, holds, quote, receipt }: JudgedReceipt) {
  return {
    holds,
    checks,
    ...(quote &&
      receipt && {
        cumulative: receipt.cumulative.toString(),
        amount: formatAmount(receipt.cumulative, quote.pricing),
        runningSeconds: Number(receipt.usage.runningSeconds),
        counters: receipt.usage.counters.map(({ resource, selector, value }) => ({ resource, selector, value })),
        exit: receipt.usage.exit
          ? {
              reason: boundText(receipt.usage.exit.reason),
              containers: receipt.usage.exit.containers.map(({ name, exitCode }) => ({
                name: boundText(name),
                exitCode,
              })),
            }
          : null,
      }),
  }
}
