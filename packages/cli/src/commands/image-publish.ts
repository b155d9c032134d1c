/** `trustedpods image publish`: an image as a UnixFS tree in this machine's store; prints its CID. */
import { tmpdir } from 'node:os'
import { chooseImage } from '@trusted-pods/platform/images/image-root.ts'
import { loadRecipient } from '@trusted-pods/platform/images/key-files.ts'
import { copyLayer, encryptFor } from '@trusted-pods/platform/images/layer-transforms.ts'
import type { LayerTransform } from '@trusted-pods/platform/images/transform-image.ts'
import { importForNerdctl } from '@trusted-pods/platform/nerdctl-tree.ts'
import { importOciLayout } from '@trusted-pods/platform/oci-layout.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { parseTreeCid } from '@trusted-pods/protocol/image/block.ts'
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import { encryptedLayerCompression } from '@trusted-pods/protocol/image/media-types.ts'
import { generateImageKey } from '@trusted-pods/protocol/image/ocicrypt/image-key.ts'
import { type Command, Option } from 'commander'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { serveImageBlocks } from '../image-blocks.ts'
import { toImagePlace } from '../image-places.ts'
import {
  addPrivacyOptions,
  chosenLayers,
  type PrivacyFlags,
  publicConfig,
  requireNoManifest,
  tellPlainLayers,
} from '../image-privacy.ts'
import { addSourceOptions, type ImageWork, openWork, type SourceFlags, withStage } from '../image-work.ts'
import { addIpfsOptions, type IpfsFlags } from '../ipfs-nodes.ts'
import type { Run } from './command.ts'

interface PublishFlags extends SourceFlags, IpfsFlags, PrivacyFlags {
  recipient?: string[]
  plain?: boolean
  mixed?: boolean
  nerdctl?: boolean
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
    .addOption(new Option('--plain', 'leave plain layers readable for everybody').conflicts(['layers', 'mixed']))
    .addOption(
      new Option(
        '--mixed',
        'take an image of which only some layers are encrypted, as it is; no provider runs it',
      ).conflicts('layers'),
    )
    .option(
      '--nerdctl',
      'also name every blob by its CID, so that nerdctl run ipfs://… finds it (another manifest, another CID)',
    )
    .option('--serve', 'go on, and let whoever knows the CID pull it, until Ctrl-C')
  addIpfsOptions(addPrivacyOptions(addSourceOptions(command))).action(
    (source: ImagePlace, flags: PublishFlags, self: Command) => run(self, (context) => publish(context, source, flags)),
  )
}

async function publish(context: Context, source: ImagePlace, flags: PublishFlags): Promise<ExitCode> {
  const { output, signal } = context
  requireNoManifest(flags)
  const { encrypt, privateKey } = await chooseKeys(flags)
  await using work = await openWork(context, source, flags)
  if (!flags.mixed) await refuseMixed(context, work, flags)
  const { counted, plain, transform } = countedTransform(encrypt, flags)
  const cache = await work.store.cache()
  const { blockstore } = (await work.store.node()) ?? cache
  await using run = await cache.begin(context)
  const options = { parent: tmpdir(), transform, config: publicConfig(flags, output), flags }
  const { cid: bytes, reference } = await withStage(context, work, options, async (stage, root) => {
    await stage.writeIndex(root, 'latest')
    const importLayout = flags.nerdctl ? importForNerdctl : importPlain
    return importLayout(stage.folder, { blockstore, signal })
  })
  const cid = parseTreeCid(bytes)
  const isOwnKey = privateKey !== undefined && counted.encryptedHere > 0
  if (isOwnKey) await work.store.saveKey(cid, privateKey)
  await work.store.keep(cid, { name: work.reader.name })
  await run.finish()
  output.result(`ipfs:${cid}`, {
    cid: `${cid}`,
    ...counted,
    plain: plain.size,
    ...(reference && { nerdctl: `ipfs://${reference}` }),
    ...(isOwnKey && { keyFile: work.store.keyPath(cid) }),
  })
  if (flags.plain) output.progress('warning: layers of this image are readable for everybody')
  else tellPlainLayers(output, [...plain])
  if (isOwnKey) output.progress(`the key that opens it: ${work.store.keyPath(cid)}`)
  if (reference) output.next(`nerdctl run ipfs://${reference}`)
  if (flags.serve) await serveImageBlocks(context, cid, blockstore)
  return EXIT.OK
}

const importPlain = async (folder: string, options: Parameters<typeof importOciLayout>[1]) => ({
  cid: await importOciLayout(folder, options),
  reference: undefined,
})

/** Whoever was told that an image is encrypted would believe it of every layer. */
async function refuseMixed({ signal }: Context, { reader }: ImageWork, { platform }: PublishFlags): Promise<void> {
  const { manifest } = await chooseImage(reader, { platform, signal })
  const plain = manifest.layers.flatMap(({ mediaType }, i) => (encryptedLayerCompression(mediaType) ? [] : [i]))
  if (plain.length === 0 || plain.length === manifest.layers.length) return
  throw new TrustedPodsError(
    'MANIFEST_IMAGE_INVALID',
    `${reader.name} is encrypted in part, its layers ${plain.join(', ')} are plain: --mixed publishes it as it is, image decrypt makes it plain first`,
  )
}

/** Encrypted layers as they are, plain ones encrypted unless the flags say otherwise; what has become of each is counted. */
function countedTransform(encrypt: LayerTransform, flags: PublishFlags) {
  const counted = { encryptedHere: 0, encryptedBefore: 0 }
  const plain = new Set<number>()
  const leave: LayerTransform = (layer, stage) => {
    for (const position of layer.positions) plain.add(position)
    return copyLayer(layer, stage)
  }
  const encryptOne: LayerTransform = (layer, stage) => {
    counted.encryptedHere++
    return encrypt(layer, stage)
  }
  const chosen = flags.plain || flags.mixed ? leave : chosenLayers(encryptOne, flags, (index) => plain.add(index))
  const transform: LayerTransform = (layer, stage) => {
    if (encryptedLayerCompression(layer.descriptor.mediaType) === undefined) return chosen(layer, stage)
    counted.encryptedBefore++
    return copyLayer(layer, stage)
  }
  return { counted, plain, transform }
}

/** For whom plain layers are encrypted; a private key where they are for a new one of their own. */
async function chooseKeys({
  recipient,
  plain,
}: PublishFlags): Promise<{ encrypt: LayerTransform; privateKey?: Uint8Array }> {
  if (plain) return { encrypt: copyLayer }
  if (recipient !== undefined) {
    const recipients = await Promise.all(recipient.map(loadRecipient))
    return { encrypt: encryptFor(recipients) }
  }
  const key = await generateImageKey()
  return { encrypt: encryptFor([key.publicKey]), privateKey: key.privateKey }
}
