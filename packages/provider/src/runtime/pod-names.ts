/** What a pod's parts are called in an engine, and the labels by which they are found again. Pure. */

/** Names the provider that an object belongs to. */
export const OWNER_LABEL = 'tp.owner'
/** Pod id, 64 hex digits. */
export const POD_LABEL = 'tp.pod'
/** infra, member, network or volume. */
export const ROLE_LABEL = 'tp.role'
/** Container name within the pod. */
export const NAME_LABEL = 'tp.name'
/** Hash of what the container was made from. */
export const SPEC_LABEL = 'tp.spec'
/** volume, empty-dir or secret. */
export const KIND_LABEL = 'tp.kind'
/** Followed by `<port>/<protocol>`, on the infra container: the container that a published port is of. */
export const PORT_LABEL = 'tp.port.'

export type Labels = Readonly<Record<string, string>>

/** 64 bits of the pod id: an engine's names stay readable, and two pods of one engine do not meet. */
function prefixOf(podId: string): string {
  return `tp-${podId.slice(0, 16)}`
}

export function networkName(podId: string): string {
  return prefixOf(podId)
}

/** 62 bits of the pod id: traffic is counted and closed by this name, and whoever chooses terms until fewer fit has another's. */
const BRIDGE_DIGITS = 12

/** 15 characters, the most that the kernel takes. The firewall knows pods by `tp-`. */
export function bridgeName(podId: string): string {
  const digits = (BigInt(`0x${podId}`) % 36n ** BigInt(BRIDGE_DIGITS)).toString(36)
  return `tp-${digits.padStart(BRIDGE_DIGITS, '0')}`
}

export function infraName(podId: string): string {
  return `${prefixOf(podId)}.infra`
}

/** The dot keeps a member called `infra` apart from the infra container. */
export function memberName(podId: string, container: string): string {
  return `${prefixOf(podId)}-${container}`
}

export function volumeName(podId: string, index: number): string {
  return `${prefixOf(podId)}.v${index}`
}

export function podLabels(owner: string, podId: string, role: string): Labels {
  return { [OWNER_LABEL]: owner, [POD_LABEL]: podId, [ROLE_LABEL]: role }
}

export function isPodId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text)
}
