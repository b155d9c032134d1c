/** The checks that only TDX evidence has. Spec: spec/ATTESTATION.md#checks. Pure. */
import type { CheckText } from '../check-text.ts'

const LEAVE = 'choose another provider'
const RELAUNCH = 'the provider must start its guest with other launch settings'
const RECOLLECT = 'the provider must staple the current collateral of its processor'
const FIRMWARE = 'the provider must update its firmware'
const REFERENCE = 'choose another provider, or add the value to measurements once you know what it is'

export const TDX_CHECKS = {
  'format.tee-type': { title: 'the quote is of a TDX guest', source: 'quote 0x004', advice: LEAVE },
  'format.body': { title: 'the quote body has a known type and length', source: 'quote 0x030', advice: LEAVE },
  'format.cert-type': { title: 'the quote holds the chain of its PCK', source: 'quote signature data', advice: LEAVE },
  'format.trailing': { title: 'nothing but zeros follows the quote', source: 'quote', advice: LEAVE },
  'format.collateral': { title: 'the collateral is there and can be read', source: 'collateral', advice: RECOLLECT },
  'chain.purpose': { title: 'the collateral is signed by the key for it', source: 'collateral', advice: LEAVE },
  'collateral.signature': { title: 'the collateral is signed as it is', source: 'collateral', advice: LEAVE },
  'collateral.type': { title: 'the collateral is of a known version, for TDX', source: 'collateral', advice: LEAVE },
  'collateral.expired': {
    title: 'the collateral has not expired',
    source: 'collateral',
    advice: RECOLLECT,
    warns: true,
  },
  'collateral.not-yet-valid': { title: 'the collateral is valid already', source: 'collateral', advice: RECOLLECT },
  'collateral.fmspc': { title: 'the TCB info is of this kind of platform', source: 'TCB info', advice: RECOLLECT },
  'collateral.pceid': { title: 'the TCB info is of this PCE', source: 'TCB info', advice: RECOLLECT },
  'collateral.evaluation': {
    title: 'the TCB evaluation is not below the minimum',
    source: 'TCB info, QE identity',
    advice: RECOLLECT,
  },
  'qe.vendor': { title: "the quoting enclave is Intel's", source: 'quote 0x00C', advice: LEAVE },
  'qe.signature': { title: 'the QE report is signed by the PCK', source: 'QE report', advice: LEAVE },
  'qe.report-data': { title: 'the QE report binds the attestation key', source: 'QE report 0x140', advice: LEAVE },
  'qe.identity-mismatch': { title: 'the QE is the one that Intel names', source: 'QE report', advice: LEAVE },
  'tcb.not-supported': { title: 'Intel lists the TCB', source: 'TCB info, QE identity', advice: FIRMWARE },
  'tcb.module-mismatch': { title: 'the TDX module is one that Intel names', source: 'quote body', advice: FIRMWARE },
  'tcb.revoked': { title: 'the TCB is not revoked', source: 'TCB info, QE identity', advice: FIRMWARE },
  'tcb.out-of-date': {
    title: 'the TCB is up to date',
    source: 'TCB info, QE identity',
    advice: FIRMWARE,
    warns: true,
  },
  'tcb.configuration': {
    title: 'the platform needs no other configuration',
    source: 'TCB info',
    advice: 'the provider must configure its platform as the advisories say',
    warns: true,
  },
  'tcb.sw-hardening': {
    title: 'the guest needs no hardening by software',
    source: 'TCB info',
    advice: 'tolerate it only if the stack is hardened as the advisories say',
    warns: true,
  },
  'tcb.relaunch': {
    title: 'the guest was launched on the present module',
    source: 'quote body',
    advice: 'the provider must start its guest again on the present module',
    warns: true,
  },
  'tcb.advisory': {
    title: 'no advisory applies that the policy does not allow',
    source: 'TCB info, QE identity',
    advice: 'read the advisories; name under tdx.advisories.allow those that do no harm',
    warns: true,
  },
  'policy.attributes': { title: 'reserved TD attributes are zero', source: 'quote TDATTRIBUTES', advice: RELAUNCH },
  'policy.sept-ve-disable': {
    title: 'the host cannot inject exceptions on private memory',
    source: 'quote TDATTRIBUTES',
    advice: RELAUNCH,
  },
  'policy.migration': { title: 'the guest cannot be migrated', source: 'quote TDATTRIBUTES', advice: RELAUNCH },
  'policy.perfmon': {
    title: 'performance counters are as the policy wants',
    source: 'quote TDATTRIBUTES',
    advice: RELAUNCH,
    warns: true,
  },
  'policy.xfam': { title: 'processor features are as the policy wants', source: 'quote XFAM', advice: RELAUNCH },
  'policy.service-td': { title: 'no unknown service TD is bound', source: 'quote MRSERVICETD', advice: RELAUNCH },
  'measurement.rtmr': { title: 'the RTMRs are reference values', source: 'quote RTMR0 to RTMR3', advice: REFERENCE },
  'measurement.event-log': {
    title: 'the event log replays to the RTMRs',
    source: 'event log',
    advice: 'the provider must send the log of this very guest',
  },
  'measurement.config-id': { title: 'MRCONFIGID is a reference value', source: 'quote MRCONFIGID', advice: REFERENCE },
  'measurement.owner': { title: 'the owner is a reference value', source: 'quote MROWNER', advice: REFERENCE },
} as const satisfies Record<string, CheckText>
