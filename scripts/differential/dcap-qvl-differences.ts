/**
 * Where @phala/dcap-qvl 0.3.9 and we differ on a TDX vector, and why ours is right. Judged by the code of both and by Intel's own
 * quote verification library (intel/SGX-TDX-DCAP-QuoteVerificationLibrary, "QVL" below, with its step numbers).
 */
import type { Difference } from './compare.ts'

export interface Explanation extends Difference {
  readonly why: string
  /** Whose rule it is; "ours" where we are stricter than Intel on purpose. */
  readonly rule: string
}

const NO_MODULE =
  "It knows no TDX module identities: with TEE_TCB_SVN[1] > 0 the components 0 and 1 are the module's own and are judged by the " +
  "identity of its major version; it compares them with the platform's levels."
const TCB_RULE = 'QVL TcbLevelCheck, isTdxTcbHigherOrEqual (4.1.2.4.17.3) and checkTdxModuleTcbStatus (4.1.2.4.17.4)'
const NO_MODULE_CHECK = 'It looks at neither MRSIGNERSEAM nor SEAMATTRIBUTES nor whether Intel names such a module.'
const MODULE_RULE = 'QVL QuoteVerifier, 4.1.2.4.11'
const NO_CRL_CHECK =
  'It reads serial numbers out of whatever it is given as a list, without a look at signature, issuer or dates, and passes over ' +
  'what it cannot read: whoever can put a list of his own in the way revokes nothing.'
const CRL_RULE = 'QVL PckCertVerifier and PckCrlVerifier: issuer, extensions, signature and both dates of both lists'

export const DCAP_QVL_DIFFERENCES: readonly Explanation[] = [
  {
    id: 'v4-00806f05-gcp-cos113',
    ours: 'accepted, UpToDate',
    theirs: 'refused, OutOfDate INTEL-SA-00960 INTEL-SA-00982 INTEL-SA-00986',
    why: `${NO_MODULE} Genuine quote of module 1.4 on a platform whose best level asks for a higher component 0.`,
    rule: TCB_RULE,
  },
  {
    id: 'v4-00806f05-azure-2023',
    ours: 'refused, OutOfDate INTEL-SA-00960 INTEL-SA-00982 INTEL-SA-00986',
    theirs: 'refused, no level',
    why: `${NO_MODULE} Both refuse; Intel has a level for it, and its advisories are worth to be told.`,
    rule: TCB_RULE,
  },
  {
    id: 'module-out-of-date',
    ours: 'refused, OutOfDate INTEL-SA-01036',
    theirs: 'refused, no level',
    why: `${NO_MODULE} Both refuse; here the platform is up to date and the module is not.`,
    rule: TCB_RULE,
  },
  {
    id: 'module-svn-below-component0',
    ours: 'accepted, UpToDate',
    theirs: 'refused, Revoked',
    why: `${NO_MODULE} The module's version is good, and lower than component 0 of the best level.`,
    rule: TCB_RULE,
  },
  {
    id: 'module-revoked',
    ours: 'refused, Revoked',
    theirs: 'accepted, UpToDate',
    why: `${NO_MODULE} So it accepts a module that Intel has revoked.`,
    rule: 'QVL convergeTcbStatusWithTdxModuleStatus: Revoked wins',
  },
  {
    id: 'module-identity-missing',
    ours: 'refused, no level',
    theirs: 'accepted, UpToDate',
    why: NO_MODULE_CHECK,
    rule: MODULE_RULE,
  },
  {
    id: 'module-mrsigner',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: `${NO_MODULE_CHECK} A module that somebody else signed may lie about the guest.`,
    rule: MODULE_RULE,
  },
  {
    id: 'module-seam-attributes',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: `${NO_MODULE_CHECK} Attributes other than zero are those of a module for debugging.`,
    rule: MODULE_RULE,
  },
  {
    id: 'relaunch-advised',
    ours: 'accepted, TDRelaunchAdvised INTEL-SA-01036',
    theirs: 'refused, no level',
    why: `${NO_MODULE} Nor does it read TEE_TCB_SVN2: the platform has been updated, the guest was launched before. Ours is a warning, which a policy must tolerate by name.`,
    rule: 'QVL TDRelaunchCheck (4.1.2.4.17.4.3)',
  },
  {
    id: 'crl-forged',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: NO_CRL_CHECK,
    rule: CRL_RULE,
  },
  {
    id: 'crl-forged-hides-revocation',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: `${NO_CRL_CHECK} Here the genuine lists would revoke.`,
    rule: CRL_RULE,
  },
  {
    id: 'crl-garbage',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: NO_CRL_CHECK,
    rule: CRL_RULE,
  },
  {
    id: 'crl-expired',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: NO_CRL_CHECK,
    rule: 'QVL CrlStore::expired: later than nextUpdate or earlier than thisUpdate',
  },
  {
    id: 'crl-wrong-issuer',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: `${NO_CRL_CHECK} The list of the CA for processors says nothing of what the CA for platforms issued.`,
    rule: "QVL QuoteVerifier, 4.1.2.4.6: the list is in the name of the PCK's issuer",
  },
  {
    id: 'collateral-signed-by-pck',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: 'It takes any chain to the root for a signer of collateral. Whoever got the key out of one platform could write TCB info for all of them.',
    rule: 'QVL TCBSigningChain: the name of the TCB signing certificate, issued by the root itself',
  },
  {
    id: 'pceid-mismatch',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: 'It compares FMSPC only. The versions of another PCE are counted otherwise, so its levels say nothing of this one.',
    rule: 'QVL QuoteVerifier, 4.1.2.4.10',
  },
  {
    id: 'non-ca-intermediate',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: 'It refuses a leaf that is a CA but not an issuer that is none: the key of one platform certifies another.',
    rule: 'RFC 5280 §6.1.4 (k) and (n): cA and keyCertSign. QVL tells a CA by its name, and so refuses this one too',
  },
  {
    id: 'trailing-nonzero',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: 'It leaves bytes behind the signature data unread. Quoting services pad with zeros; of anything else nobody vouches for the meaning.',
    rule: 'ours: spec/ATTESTATION.md#stricter-than-intel. QVL accepts too',
  },
  {
    id: 'qe-vendor',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: 'It does not read the vendor of the quoting enclave. QE identity and MRSIGNER bind the enclave to Intel in any case; the field contradicts them.',
    rule: 'QVL Quote::validate, INTEL_QE_VENDOR_ID',
  },
  {
    id: 'report-data-mismatch',
    ours: 'refused, UpToDate',
    theirs: 'accepted, UpToDate',
    why: 'It leaves REPORTDATA to its caller; our verifier takes what is expected and judges it.',
    rule: 'spec/ATTESTATION.md#binding',
  },
]
