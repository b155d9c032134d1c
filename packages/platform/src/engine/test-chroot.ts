/** For the tests: a command inside a plain chroot of this machine's own file system, where `/` is not a mount point. I/O. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { listMountPoints } from './mount-table.ts'

const SCRIPT = `
  mkdir -p "$1" && cd /
  for each in *; do
    if [ -L "$each" ]; then cp -P "$each" "$1/"
    elif [ -d "$each" ]; then mkdir -p "$1/$each" && mount --rbind "/$each" "$1/$each"
    fi
  done
  if chroot "$1" cut -d ' ' -f 5 /proc/self/mountinfo | grep -qx /; then echo '/ is a mount point' >&2; exit 1; fi
  root=$1; shift; exec chroot "$root" "$@"`

/** Runs one test of a file there; its TAP report. @param root folder that becomes `/`. @param name the start of the test's name. */
export async function testInChroot(file: string, { root, name }: { root: string; name: string }): Promise<string> {
  // A root that is no mount point has no propagation to change; it is so when this itself runs in a chroot.
  const propagation = (await listMountPoints()).includes('/') ? 'private' : 'unchanged'
  const nested = ['--test-reporter=tap', `--test-name-pattern=^${name}`, file]
  const node = [process.execPath, '--conditions=@trusted-pods/source', ...nested]
  const args = ['--mount', '--propagation', propagation, 'sh', '-c', SCRIPT, 'sh', root, ...node]
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  return (await promisify(execFile)('unshare', args, { env })).stdout
}
