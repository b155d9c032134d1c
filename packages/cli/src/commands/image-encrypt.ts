/** `trustedpods image encrypt`: every layer for one or more public keys, as skopeo, buildah and containerd read it. */
import { loadRecipient } from '@trusted-pods/platform/images/key-files.ts'
import { encryptFor, type TarFormat } from '@trusted-pods/platform/images/layer-transforms.ts'
import type { WritablePlace } from '@trusted-pods/platform/images/write-place.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import { type Command, Option } from 'commander'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { toImagePlace, toWritablePlace } from '../image-places.ts'
import {
  addPrivacyOptions,
  chosenLayers,
  type PrivacyFlags,
  publicConfig,
  requireNoManifest,
  tellPlainLayers,
} from '../image-privacy.ts'
import { addWriteOptions, openWork, type WriteFlags, writeTransformed } from '../image-work.ts'
import { countOf } from '../units.ts'
import type { Run } from './command.ts'

interface EncryptFlags extends WriteFlags, PrivacyFlags {
  recipient: string[]
  destCompressFormat: TarFormat
}

export function addImageEncrypt(image: Command, run: Run): void {
  const command = image
    .command('encrypt')
    .argument('<src>', 'place of the plain image', toImagePlace)
    .argument('<dst>', 'place for the encrypted one: oci:, oci-archive: or docker://', toWritablePlace)
    .description('encrypt every layer for the holders of some keys')
    .requiredOption(
      '--recipient <pub.pem>',
      'public key (EC P-256, PEM) that shall open it; can be repeated',
      (path, before: string[] = []) => [...before, path],
    )
    .addOption(
      new Option('--dest-compress-format <format>', 'compress plain layers so; gzip for readers older than zstd layers')
        .choices(['zstd', 'gzip'])
        .default('zstd'),
    )
    .option('--all', 'every platform of the image, attestations as they are')
  addPrivacyOptions(addWriteOptions(command)).action(
    (source: ImagePlace, destination: WritablePlace, flags: EncryptFlags, self: Command) =>
      run(self, (context) => encrypt(context, { source, destination, flags })),
  )
}

export interface Encryption {
  source: ImagePlace
  destination: WritablePlace
  flags: EncryptFlags
}

async function encrypt(context: Context, { source, destination, flags }: Encryption): Promise<ExitCode> {
  checkKeepsKeys(destination)
  checkFlags(flags)
  const recipients: CryptoKey[] = []
  for (const path of flags.recipient) recipients.push(await loadRecipient(path))
  await using work = await openWork(context, source, flags)
  const plain = new Set<number>()
  const transform = chosenLayers(encryptFor(recipients, flags.destCompressFormat), flags, (index) => plain.add(index))
  const config = publicConfig(flags, context.output)
  const root = await writeTransformed(context, work, { destination, transform, config, flags })
  tellPlainLayers(context.output, [...plain])
  if (flags.all)
    context.output.progress('warning: attestations of an image (SBOM, provenance) stay readable and name what is in it')
  context.output.result(`encrypted for ${countOf(recipients.length, 'recipient')}: ${root.digest}`, {
    digest: root.digest,
    mediaType: root.mediaType,
    recipients: recipients.length,
    plainLayers: [...plain],
  })
  return EXIT.OK
}

/** Platforms share layers that stand at other places in each. */
function checkFlags(flags: EncryptFlags): void {
  requireNoManifest(flags)
  if (flags.all && flags.layers !== undefined)
    throw new TrustedPodsError(
      'PLATFORM_CONFIG',
      '--layers counts the layers of one image: name it by --platform, without --all',
    )
}

/** Their format has no place for the wrapped keys; skopeo writes there all the same, and nobody ever opens it again. */
function checkKeepsKeys({ kind }: WritablePlace): void {
  if (kind !== 'docker-archive' && kind !== 'docker-daemon') return
  throw new TrustedPodsError(
    'PLATFORM_CONFIG',
    `${kind}: cannot keep the keys of an encrypted image: write to oci:, oci-archive: or docker://`,
  )
}
