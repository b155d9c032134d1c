/**
 * The image of the infra container, which holds a pod's network and does nothing else: one program that waits for ever,
 * assembled here, so that no registry and no package of the machine is needed. Pure.
 */
import type { FileEntry } from '@trusted-pods/platform/engine/file-tar.ts'
import { buildScratchImage } from '@trusted-pods/platform/engine/scratch-image.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'

/** Most volumes of a pod, as the wire manifest has it. */
const MAX_VOLUMES = 32

/** Where the infra container has a volume. */
export function infraMountPath(index: number): string {
  return `/volumes/${index}`
}

interface Machine {
  /** As OCI names it. */
  readonly architecture: string
  /** e_machine of the ELF header. */
  readonly elfMachine: number
  readonly code: readonly number[]
}

const MACHINES: Readonly<Record<string, Machine>> = {
  // 0 mov eax, 34 (pause)   5 syscall   7 jmp 0            Linux arch/x86/entry/syscalls/syscall_64.tbl
  x64: {
    architecture: 'amd64',
    elfMachine: 62,
    code: [0xb8, 0x22, 0x00, 0x00, 0x00, 0x0f, 0x05, 0xeb, 0xf7],
  },
  // mov x0..x4, 0   mov x8, 73 (ppoll of nothing, no end)   svc 0   b -28      include/uapi/asm-generic/unistd.h
  arm64: {
    architecture: 'arm64',
    elfMachine: 183,
    code: [
      [0x00, 0x00, 0x80, 0xd2],
      [0x01, 0x00, 0x80, 0xd2],
      [0x02, 0x00, 0x80, 0xd2],
      [0x03, 0x00, 0x80, 0xd2],
      [0x04, 0x00, 0x80, 0xd2],
      [0x28, 0x09, 0x80, 0xd2],
      [0x01, 0x00, 0x00, 0xd4],
      [0xf9, 0xff, 0xff, 0x17],
    ].flat(),
  },
}

/** @param arch as process.arch has it. @throws TrustedPodsError PLATFORM_CONFIG for one that no program is known for. */
export function infraImage(arch: string): Promise<OpenedImage> {
  const machine = MACHINES[arch]
  if (!machine) throw new TrustedPodsError('PLATFORM_CONFIG', `the machine is ${arch}, x64 or arm64 is wanted`)
  return buildScratchImage({
    layers: [[{ kind: 'file', path: 'pause', mode: 0o555, content: pauseProgram(machine) }, ...mountFolders()]],
    config: { Entrypoint: ['/pause'], StopSignal: 'SIGKILL' },
    architecture: machine.architecture,
  })
}

/** An engine gives a new volume the mode of the folder that it is first mounted on: any user of the pod's images may write
 * to it then, as to Kubernetes' emptyDir. */
function mountFolders(): FileEntry[] {
  const folder = (path: string): FileEntry => ({ kind: 'folder', path, mode: 0o777 })
  return ['volumes', ...Array.from({ length: MAX_VOLUMES }, (_, index) => infraMountPath(index).slice(1))].map(folder)
}

const HEADER_BYTES = 64
const PROGRAM_HEADER_BYTES = 56
const CODE_OFFSET = HEADER_BYTES + PROGRAM_HEADER_BYTES
const LOAD_ADDRESS = 0x400000n

/** A static ELF64 executable of one readable and executable segment. Source: elf(5). */
function pauseProgram({ elfMachine, code }: Machine): Uint8Array {
  const file = new Uint8Array(CODE_OFFSET + code.length)
  const view = new DataView(file.buffer)
  const size = BigInt(file.length)
  // 0x00 magic, 64 bits, little-endian, version 1
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(0x10, 2, true) // e_type: executable
  view.setUint16(0x12, elfMachine, true)
  view.setUint32(0x14, 1, true) // e_version
  view.setBigUint64(0x18, LOAD_ADDRESS + BigInt(CODE_OFFSET), true) // e_entry
  view.setBigUint64(0x20, BigInt(HEADER_BYTES), true) // e_phoff
  view.setUint16(0x34, HEADER_BYTES, true) // e_ehsize
  view.setUint16(0x36, PROGRAM_HEADER_BYTES, true) // e_phentsize
  view.setUint16(0x38, 1, true) // e_phnum
  view.setUint32(0x40, 1, true) // p_type: load
  view.setUint32(0x44, 5, true) // p_flags: read, execute
  view.setBigUint64(0x50, LOAD_ADDRESS, true) // p_vaddr
  view.setBigUint64(0x58, LOAD_ADDRESS, true) // p_paddr
  view.setBigUint64(0x60, size, true) // p_filesz
  view.setBigUint64(0x68, size, true) // p_memsz
  view.setBigUint64(0x70, 0x1000n, true) // p_align
  file.set(code, CODE_OFFSET)
  return file
}
