/** Hangs each protocol on the node. Reads as the list of what a provider answers. */
import type { Libp2p } from '@libp2p/interface'
import { AttestRequestSchema, AttestResponseSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { CapacityRequestSchema, CapacityResponseSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import {
  FundRequestSchema,
  FundResponseSchema,
  LogMessageSchema,
  LogsRequestSchema,
  StatusRequestSchema,
  StopRequestSchema,
  StopResponseSchema,
  VoucherRequestSchema,
  VoucherResponseSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import {
  PodPhase,
  ProvisionRequestSchema,
  StatusUpdateSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import type { Refusal } from '@trusted-pods/protocol/gen/trustedpods/v0/refusal_pb.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import {
  ATTEST,
  CAPACITY,
  FUND,
  LOGS,
  PROVISION,
  STATUS,
  STOP,
  VOUCHER,
} from '@trusted-pods/protocol/wire/protocols.ts'
import { serve } from '@trusted-pods/protocol/wire/serve.ts'
import { type AttestParts, makeEvidence } from './attest.ts'
import { answerFund, answerLogs, answerStatus, answerStop, answerVoucher, type LeaseParts } from './lease.ts'
import { answerProvision, type ProvisionParts } from './provision.ts'
import { makeOffer, type QuoteParts } from './quote.ts'

export interface ServiceParts {
  readonly attest: AttestParts
  readonly quote: QuoteParts
  readonly provision: ProvisionParts
  readonly lease: LeaseParts
}

export async function serveAll(
  node: Libp2p,
  { attest, quote, provision, lease }: ServiceParts,
  options: { log: Logger },
): Promise<void> {
  const refuse = (value: Refusal) => ({ result: { case: 'refusal' as const, value } })
  const refuseStatus = (refusal: Refusal) => ({ sequence: 1n, phase: PodPhase.FAILED, refusal })

  await serve(
    node,
    ATTEST,
    {
      request: AttestRequestSchema,
      response: AttestResponseSchema,
      refuse,
      answer: async (request, { connection }) => ({
        result: { case: 'evidence' as const, value: await makeEvidence(request, connection, attest) },
      }),
    },
    options,
  )
  await serve(
    node,
    CAPACITY,
    {
      request: CapacityRequestSchema,
      response: CapacityResponseSchema,
      refuse,
      answer: async (request, { connection }) => ({
        result: { case: 'offer' as const, value: await makeOffer(request, connection, quote) },
      }),
    },
    options,
  )
  await serve(
    node,
    PROVISION,
    {
      request: ProvisionRequestSchema,
      response: StatusUpdateSchema,
      refuse: refuseStatus,
      answer: (request, caller) => answerProvision(request, caller, provision),
    },
    options,
  )
  await serve(
    node,
    STATUS,
    {
      request: StatusRequestSchema,
      response: StatusUpdateSchema,
      refuse: refuseStatus,
      answer: (request, caller) => answerStatus(request, caller, lease),
    },
    options,
  )
  await serve(
    node,
    LOGS,
    {
      request: LogsRequestSchema,
      response: LogMessageSchema,
      refuse,
      answer: (request, caller) => answerLogs(request, caller, lease),
    },
    options,
  )
  await serve(
    node,
    STOP,
    {
      request: StopRequestSchema,
      response: StopResponseSchema,
      refuse,
      answer: async (request, caller) => ({
        result: { case: 'settlement' as const, value: await answerStop(request, caller, lease) },
      }),
    },
    options,
  )
  await serve(
    node,
    VOUCHER,
    {
      request: VoucherRequestSchema,
      response: VoucherResponseSchema,
      refuse: (refusal: Refusal) => ({ refusal }),
      answer: async (request, caller) => {
        await answerVoucher(request, caller, lease)
        return {}
      },
    },
    options,
  )
  await serve(
    node,
    FUND,
    {
      request: FundRequestSchema,
      response: FundResponseSchema,
      refuse,
      answer: async (request, caller) => ({
        result: { case: 'transaction' as const, value: await answerFund(request, caller, lease) },
      }),
    },
    options,
  )
}
