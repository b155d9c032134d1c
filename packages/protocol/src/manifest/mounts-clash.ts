/** When two mounts of a container are in each other's way: the same rule for the file and the wire. Spec:
 * spec/MANIFEST.md#volumes. Pure. */

export interface Mounted {
  readonly volume: number
  readonly mountPath: string
}

/** Whether two mounts are at one path, or one lies below a secret, which is a file. */
export function mountsClash(a: Mounted, b: Mounted, isSecret: (volume: number) => boolean): boolean {
  if (a.mountPath === b.mountPath) return true
  if (isSecret(a.volume) && b.mountPath.startsWith(`${a.mountPath}/`)) return true
  return isSecret(b.volume) && a.mountPath.startsWith(`${b.mountPath}/`)
}
