/** `trustedpods image decrypt`: opens an image that we, skopeo, buildah or containerd have encrypted. */
import { loadPrivateKey } from '@trusted-pods/platform/images/key-files.ts'
import { decryptWith } from '@trusted-pods/platform/images/layer-transforms.ts'
import type { WritablePlace } from '@trusted-pods/platform/images/write-place.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import { encryptedLayerCompression } from '@trusted-pods/protocol/image/media-types.ts'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { toImagePlace, toWritablePlace } from '../image-places.ts'
import { addWriteOptions, type ImageWork, openWork, type WriteFlags, writeTransformed } from '../image-work.ts'
import { countOf } from '../units.ts'
import type { Run } from './command.ts'

interface DecryptFlags extends WriteFlags {
  key?: string
}

export function addImageDecrypt(image: Command, run: Run): void {
  const command = image
    .command('decrypt')
    .argument('<src>', 'place of the encrypted image', toImagePlace)
    .argument('<dst>', 'place for the plain one', toWritablePlace)
    .description('decrypt every layer and check it against the image config')
    .option(
      '--key <key.pem>',
      'private key (EC P-256 or RSA, PEM, mode 600); for ipfs:CID the key that publish has kept',
    )
    .option('--all', 'every platform of the image')
  addWriteOptions(command).action(
    (source: ImagePlace, destination: WritablePlace, flags: DecryptFlags, self: Command) =>
      run(self, (context) => decrypt(context, { source, destination, flags })),
  )
}

interface Decryption {
  source: ImagePlace
  destination: WritablePlace
  flags: DecryptFlags
}

async function decrypt(context: Context, { source, destination, flags }: Decryption): Promise<ExitCode> {
  await using work = await openWork(context, source, flags)
  const privateKey = await findKey(work, source, flags)
  const counted = { encrypted: 0, plain: 0 }
  const open = decryptWith(privateKey)
  const root = await writeTransformed(context, work, {
    destination,
    transform: (layer, stage) => {
      counted[encryptedLayerCompression(layer.descriptor.mediaType) ? 'encrypted' : 'plain']++
      return open(layer, stage)
    },
    flags,
  })
  privateKey.fill(0)
  tellPlain(context, counted)
  context.output.result(`decrypted ${countOf(counted.encrypted, 'layer')}: ${root.digest}`, {
    digest: root.digest,
    mediaType: root.mediaType,
    decryptedLayers: counted.encrypted,
    plainLayers: counted.plain,
  })
  return EXIT.OK
}

async function findKey({ store }: ImageWork, source: ImagePlace, { key }: DecryptFlags): Promise<Uint8Array> {
  if (key !== undefined) return loadPrivateKey(key)
  const kept = source.kind === 'ipfs' ? await store.loadKey(source.cid) : undefined
  if (kept) return kept
  throw new TrustedPodsError('PLATFORM_CONFIG', 'no key: --key names the private key that opens this image')
}

function tellPlain({ output }: Context, { encrypted, plain }: { encrypted: number; plain: number }): void {
  if (encrypted === 0) output.progress('warning: no layer of this image was encrypted')
  else if (plain > 0)
    output.progress(
      `warning: ${countOf(plain, 'layer')} of this image was not encrypted: anybody may have put it there`,
    )
}
