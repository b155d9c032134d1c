/** `trustedpods image publish`: an image as a UnixFS tree in this machine's store; prints its CID. */
import type { ImageCache } from '@trusted-pods/platform/image-cache.ts'
import { chooseImage } from '@trusted-pods/platform/images/image-root.ts'
import { loadRecipient } from '@trusted-pods/platform/images/key-files.ts'
import { copyLayer, publishFor } from '@trusted-pods/platform/images/layer-transforms.ts'
import type { LayerTransform } from '@trusted-pods/platform/images/transform-image.ts'
import { openTreeBlobs } from '@trusted-pods/platform/images/tree-blobs.ts'
import { nodeStreamCrypto } from '@trusted-pods/platform/stream-crypto.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import { encryptedLayerCompression } from '@trusted-pods/protocol/image/media-types.ts'
import { generateImageKey } from '@trusted-pods/protocol/image/ocicrypt/image-key.ts'
import { checkEncrypted } from '@trusted-pods/protocol/image/self-check.ts'
import { type Command, Option } from 'commander'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { toImagePlace } from '../image-places.ts'
import {
  addPrivacyOptions,
  chosenLayers,
  type PrivacyFlags,
  publicConfig,
  requireNoManifest,
  tellPlainLayers,
} from '../image-privacy.ts'
import { addSourceOptions, type ImageWork, openWork, type SourceFlags, writeBlobs } from '../image-work.ts'
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
  const { output } = context
  requireNoManifest(flags)
  const { recipients, privateKey } = await chooseKeys(flags)
  await using work = await openWork(context, source, flags)
  if (!flags.mixed) await refuseMixed(context, work, flags)
  const cache = await work.store.cache()
  const layers = await layersOf(cache, work)
  await using run = await cache.begin(context)
  const done = await writeTree(context, work, { layers, recipients, flags })
  const { cid, reference, plain, encrypted, before } = done
  const isOwnKey = privateKey !== undefined && encrypted.size > 0
  if (isOwnKey) {
    const count = encrypted.size + plain.size + before.size
    const wanted = { privateKey, crypto: nodeStreamCrypto, layers: count, encrypted }
    await checkEncrypted(layers.blockstore, cid, wanted)
    await work.store.saveKey(cid, privateKey)
  }
  await work.store.keep(cid, { name: work.reader.name })
  await run.finish()
  output.result(`ipfs:${cid}`, {
    cid: `${cid}`,
    ...done.counted,
    plain: plain.size,
    ...(reference && { nerdctl: `ipfs://${reference}` }),
    ...(isOwnKey && { keyFile: work.store.keyPath(cid) }),
  })
  if (flags.plain) output.progress('warning: layers of this image are readable for everybody')
  else tellPlainLayers(output, [...plain])
  if (isOwnKey) output.progress(`the key that opens it: ${work.store.keyPath(cid)}`)
  if (reference) output.next(`nerdctl run ipfs://${reference}`)
  if (flags.serve) {
    const { serveImageBlocks } = await import('../image-blocks.ts')
    await serveImageBlocks(context, cid, layers.blockstore)
  }
  return EXIT.OK
}

/** Blocks and known layers, where new images go. */
async function layersOf(cache: ImageCache, { store }: ImageWork): Promise<ImageCache> {
  const node = await store.node()
  return node ? cache.within(node.url, node.blockstore) : cache
}

interface TreeParts {
  layers: ImageCache
  recipients: readonly CryptoKey[]
  flags: PublishFlags
}

async function writeTree(context: Context, work: ImageWork, { layers, recipients, flags }: TreeParts) {
  const { blockstore } = layers
  const blobs = openTreeBlobs(blockstore)
  const encrypt = publishFor(blobs, { blockstore, cache: layers, recipients, signal: context.signal })
  const { transform, ...became } = countedTransform(encrypt, flags)
  const config = publicConfig(flags, context.output)
  const root = await writeBlobs(context, work, { blobs, transform, config, flags })
  return { ...(await blobs.writeTree(root, { forNerdctl: flags.nerdctl })), ...became }
}

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

/** Encrypted layers as they are, plain ones encrypted unless the flags say otherwise; what has become of each is noted. */
function countedTransform(encrypt: LayerTransform, flags: PublishFlags) {
  const counted = { encryptedHere: 0, encryptedBefore: 0 }
  const [plain, encrypted, before] = [new Set<number>(), new Set<number>(), new Set<number>()]
  const leave: LayerTransform = (layer, blobs) => {
    for (const position of layer.positions) plain.add(position)
    return copyLayer(layer, blobs)
  }
  const encryptOne: LayerTransform = (layer, blobs) => {
    counted.encryptedHere++
    for (const position of layer.positions) encrypted.add(position)
    return encrypt(layer, blobs)
  }
  const chosen = flags.plain || flags.mixed ? leave : chosenLayers(encryptOne, flags, (index) => plain.add(index))
  const transform: LayerTransform = (layer, blobs) => {
    if (encryptedLayerCompression(layer.descriptor.mediaType) === undefined) return chosen(layer, blobs)
    counted.encryptedBefore++
    for (const position of layer.positions) before.add(position)
    return copyLayer(layer, blobs)
  }
  return { counted, plain, encrypted, before, transform }
}

/** For whom plain layers are encrypted; a private key where they are for a new one of their own. */
async function chooseKeys({
  recipient,
  plain,
}: PublishFlags): Promise<{ recipients: CryptoKey[]; privateKey?: Uint8Array }> {
  if (plain) return { recipients: [] }
  if (recipient !== undefined) return { recipients: await Promise.all(recipient.map(loadRecipient)) }
  const { publicKey, privateKey } = await generateImageKey()
  return { recipients: [publicKey], privateKey }
}
