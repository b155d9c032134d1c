/** `trustedpods image publish`: an image as a UnixFS tree in this machine's store; prints its CID. */
import { tmpdir } from 'node:os'
import { loadRecipient } from '@trusted-pods/platform/images/key-files.ts'
import { copyLayer, encryptFor } from '@trusted-pods/platform/images/layer-transforms.ts'
import type { LayerTransform } from '@trusted-pods/platform/images/transform-image.ts'
import { importOciLayout } from '@trusted-pods/platform/oci-layout.ts'
import { parseTreeCid } from '@trusted-pods/protocol/image/block.ts'
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import { encryptedLayerCompression } from '@trusted-pods/protocol/image/media-types.ts'
import { generateImageKey } from '@trusted-pods/protocol/image/ocicrypt/image-key.ts'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { serveImageBlocks } from '../image-blocks.ts'
import { toImagePlace } from '../image-places.ts'
import { addSourceOptions, openWork, type SourceFlags, withStage } from '../image-work.ts'
import { addIpfsOptions, type IpfsFlags } from '../ipfs-nodes.ts'
import type { Run } from './command.ts'

interface PublishFlags extends SourceFlags, IpfsFlags {
  recipient?: string[]
  plain?: boolean
  serve?: boolean
}

export function addImagePublish(image: Command, run: Run): void {
  const command = image
    .command('publish')
    .argument('<src>', 'place of the image', toImagePlace)
    .description('put an image into the store of this machine as a tree of IPFS blocks, and print its CID')
    .option(
      '--recipient <pub.pem>',
      'encrypt plain layers for this key; can be repeated (default: a new key, kept here)',
      (path, before: string[] = []) => [...before, path],
    )
    .option('--plain', 'leave plain layers readable for everybody')
    .option('--serve', 'go on, and let whoever knows the CID pull it, until Ctrl-C')
  addIpfsOptions(addSourceOptions(command)).action((source: ImagePlace, flags: PublishFlags, self: Command) =>
    run(self, (context) => publish(context, source, flags)),
  )
}

async function publish(context: Context, source: ImagePlace, flags: PublishFlags): Promise<ExitCode> {
  const { output, signal } = context
  const { transform, privateKey } = await chooseTransform(flags)
  await using work = await openWork(context, source, flags)
  const counted = { encryptedHere: 0, encryptedBefore: 0, plain: 0 }
  const counting: LayerTransform = (layer, stage) => {
    const isEncrypted = encryptedLayerCompression(layer.descriptor.mediaType) !== undefined
    counted[isEncrypted ? 'encryptedBefore' : flags.plain ? 'plain' : 'encryptedHere']++
    return isEncrypted ? copyLayer(layer, stage) : transform(layer, stage)
  }
  const cache = await work.store.cache()
  const { blockstore } = (await work.store.node()) ?? cache
  await using run = await cache.begin(context)
  const options = { parent: tmpdir(), transform: counting, flags }
  const bytes = await withStage(context, work, options, async (stage, root) => {
    await stage.writeIndex(root, 'latest')
    return importOciLayout(stage.folder, { blockstore, signal })
  })
  const cid = parseTreeCid(bytes)
  const isOwnKey = privateKey !== undefined && counted.encryptedHere > 0
  if (isOwnKey) await work.store.saveKey(cid, privateKey)
  await work.store.keep(cid, { name: work.reader.name })
  await run.finish()
  output.result(`ipfs:${cid}`, { cid: `${cid}`, ...counted, ...(isOwnKey && { keyFile: work.store.keyPath(cid) }) })
  if (counted.plain > 0) output.progress('warning: layers of this image are readable for everybody')
  if (isOwnKey) output.progress(`the key that opens it: ${work.store.keyPath(cid)}`)
  if (flags.serve) await serveImageBlocks(context, cid, blockstore)
  return EXIT.OK
}

async function chooseTransform({ recipient, plain }: PublishFlags) {
  if (plain) return { transform: copyLayer }
  if (recipient !== undefined) {
    const recipients = await Promise.all(recipient.map(loadRecipient))
    return { transform: encryptFor(recipients) }
  }
  const key = await generateImageKey()
  return { transform: encryptFor([key.publicKey]), privateKey: key.privateKey }
}
