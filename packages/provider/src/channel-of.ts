/** The channel that pays for a pod. Pure. */
import { fromBinary } from '@bufbuild/protobuf'
import { fromProtoChannel, type OpenedChannel } from '@trusted-pods/protocol/channel/payment-channel.ts'
import { PaymentChannelSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { PodRow } from './pod-row.ts'

export function channelOf(row: Pick<PodRow, 'channel'>): OpenedChannel {
  return fromProtoChannel(fromBinary(PaymentChannelSchema, row.channel))
}
