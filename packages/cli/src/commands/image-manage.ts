/** `trustedpods image ls`, `rm` and `gc`: what the store of this machine holds, and taking it away. */
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { toCidPlace } from '../image-places.ts'
import { openImageStore } from '../image-store.ts'
import { forgetUnwanted, listImages, removeImage, type StoredImage } from '../stored-images.ts'
import { formatTable } from '../table.ts'
import { countOf, formatBytes } from '../units.ts'
import type { Run } from './command.ts'

type CidPlace = Extract<ImagePlace, { kind: 'ipfs' }>

export function addImageLs(image: Command, run: Run): void {
  image
    .command('ls')
    .description('list the images in the store of this machine, and what keeps each there')
    .action((_: object, self: Command) => run(self, list))
}

export function addImageRm(image: Command, run: Run): void {
  image
    .command('rm')
    .argument('<ipfs:CID>', 'image in the store of this machine', toCidPlace)
    .description('remove an image from the store, its key too; refused while a lease needs it')
    .action((place: CidPlace, _: object, self: Command) => run(self, (context) => remove(context, place)))
}

export function addImageGc(image: Command, run: Run): void {
  image
    .command('gc')
    .description('remove from the store what neither you nor a lease nor a later deployment needs')
    .action((_: object, self: Command) => run(self, collect))
}

async function list(context: Context): Promise<ExitCode> {
  await using store = openImageStore(context)
  const images = await listImages(store)
  const rows = images.map((image) => [
    image.cid,
    formatBytes(image.bytes),
    image.createdAt?.slice(0, 19) ?? '-',
    keptBy(image),
    image.hasKey ? 'yes' : 'no',
    image.ipfsApi ?? 'here',
    image.name ?? '-',
  ])
  const text =
    rows.length > 0 ? formatTable(['CID', 'SIZE', 'CREATED', 'KEPT BY', 'KEY', 'BLOCKS', 'FROM'], rows) : 'no images'
  context.output.result(text, images)
  return EXIT.OK
}

function keptBy({ isKept, leases, until }: StoredImage): string {
  const reasons = [...(isKept ? ['you'] : []), ...leases.map((id) => `lease ${id.slice(0, 12)}`)]
  if (reasons.length === 0 && until !== undefined) return `fetched, until ${until.slice(0, 19)}`
  return reasons.join(', ') || 'nobody'
}

async function remove(context: Context, { cid }: CidPlace): Promise<ExitCode> {
  await using store = openImageStore(context)
  const hadKey = (await store.keys()).includes(`${cid}`)
  const swept = await removeImage(store, cid)
  const key = hadKey ? ' and its key' : ''
  context.output.result(`removed ipfs:${cid}${key}: ${formatBytes(swept.removedBytes)}`, {
    cid: `${cid}`,
    removedKey: hadKey,
    ...swept,
  })
  return EXIT.OK
}

async function collect(context: Context): Promise<ExitCode> {
  await using store = openImageStore(context)
  await forgetUnwanted(store, context)
  const swept = await (await store.cache()).collect()
  const { removedBlocks, removedBytes } = swept
  context.output.result(`removed ${countOf(removedBlocks, 'block')}, ${formatBytes(removedBytes)}`, swept)
  return EXIT.OK
}
