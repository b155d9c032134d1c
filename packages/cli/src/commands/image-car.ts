/** `trustedpods image export` and `import`: an image of the store as a CAR file, the form in which IPFS programs hand trees around. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { exportCar, importCar } from '@trusted-pods/platform/car.ts'
import { asInvalidImage } from '@trusted-pods/platform/images/invalid-image.ts'
import { openTree } from '@trusted-pods/platform/images/tree-reader.ts'
import { refuseTakenFile, writeFileWhole } from '@trusted-pods/platform/images/write-layout.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { parseTreeCid } from '@trusted-pods/protocol/image/block.ts'
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { toCidPlace } from '../image-places.ts'
import { openImageStore } from '../image-store.ts'
import { addIpfsOptions, type IpfsFlags } from '../ipfs-nodes.ts'
import { formatBytes } from '../units.ts'
import type { Run } from './command.ts'

const READ_CHUNK_BYTES = 256 * 1024

type CidPlace = Extract<ImagePlace, { kind: 'ipfs' }>

interface ExportFlags {
  force?: boolean
}

export function addImageExport(image: Command, run: Run): void {
  image
    .command('export')
    .argument('<ipfs:CID>', 'image in the store of this machine', toCidPlace)
    .argument('<file.car>', 'file for it')
    .description('write an image as a CAR file, which `ipfs dag import` takes')
    .option('--force', 'replace the file where it is there already')
    .action((source: CidPlace, path: string, flags: ExportFlags, self: Command) =>
      run(self, (context) => exportImage(context, source, { path, replace: flags.force ?? false })),
    )
}

export function addImageImport(image: Command, run: Run): void {
  const command = image
    .command('import')
    .argument('<file.car>', 'what image export or `ipfs dag export` has written')
    .description('take an image into the store of this machine, each block verified')
  addIpfsOptions(command).action((path: string, flags: IpfsFlags, self: Command) =>
    run(self, (context) => importImage(context, path, flags)),
  )
}

async function exportImage(
  context: Context,
  { cid }: CidPlace,
  { path, replace }: { path: string; replace: boolean },
): Promise<ExitCode> {
  const { output, signal } = context
  if (!replace) await refuseTakenFile(path)
  await using store = openImageStore(context)
  const blockstore = await store.blockstore()
  // Missing blocks are told before a file is begun.
  await using _ = await openTree(blockstore, cid, { signal })
  try {
    await writeFileWhole(exportCar(blockstore, cid.bytes, { signal }), { path, replace, signal })
  } catch (cause) {
    throw notWhole(`ipfs:${cid} is not whole here`, cause)
  }
  const { size } = await stat(path)
  output.result(`wrote ${path}: ${formatBytes(size)}`, { cid: `${cid}`, file: path, bytes: size })
  return EXIT.OK
}

async function importImage(context: Context, path: string, flags: IpfsFlags): Promise<ExitCode> {
  const { output, signal } = context
  const maxBytes = await sizeOf(path)
  await using store = openImageStore(context, flags)
  const cache = await store.cache()
  const { blockstore } = (await store.node()) ?? cache
  await using run = await cache.begin(context)
  const car = createReadStream(path, { highWaterMark: READ_CHUNK_BYTES })
  const bytes = await asInvalidImage(path, () => importCar(car, blockstore, { maxBytes, signal })).catch((cause) => {
    throw notWhole(`${path} does not hold a whole image`, cause)
  })
  const cid = parseTreeCid(bytes)
  // Any tree would come in so far: an image it must be.
  await using reader = await openTree(blockstore, cid, { signal })
  await store.keep(cid, { name: path })
  await run.finish()
  output.result(`ipfs:${cid}`, { cid: `${cid}`, digest: reader.root.digest })
  return EXIT.OK
}

async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile()) return found.size
  throw new TrustedPodsError('MANIFEST_IMAGE_NOT_FOUND', `${path} is no file that can be read: wanted a CAR file`)
}

/** What is the provider's failure elsewhere is the file's, or the store's, here. */
function notWhole(what: string, cause: unknown): unknown {
  if (!(cause instanceof TrustedPodsError) || cause.code !== 'PROVISION_IMAGE_FETCH') return cause
  return new TrustedPodsError('MANIFEST_IMAGE_NOT_FOUND', `${what}: ${cause.message}`, { cause })
}
