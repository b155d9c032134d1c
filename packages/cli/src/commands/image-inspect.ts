/** `trustedpods image inspect`: what lies at a place, without a layer being read. */
import { readDocument } from '@trusted-pods/platform/images/image-reader.ts'
import { chooseImage, readRoot } from '@trusted-pods/platform/images/image-root.ts'
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { formatImage, formatPlatforms, imageView, platformViews } from '../format-image.ts'
import { toImagePlace } from '../image-places.ts'
import { addSourceOptions, openWork, type SourceFlags } from '../image-work.ts'
import type { Run } from './command.ts'

export function addImageInspect(image: Command, run: Run): void {
  const command = image
    .command('inspect')
    .argument('<src>', 'place of the image', toImagePlace)
    .description('show platforms, layers, and who can read what')
  addSourceOptions(command).action((source: ImagePlace, flags: SourceFlags, self: Command) =>
    run(self, (context) => inspect(context, source, flags)),
  )
}

async function inspect(context: Context, source: ImagePlace, flags: SourceFlags): Promise<ExitCode> {
  const { output, signal } = context
  await using work = await openWork(context, source, flags)
  const { reader } = work
  const root = await readRoot(reader, { signal })
  if (root.kind === 'index' && flags.platform === undefined) {
    const platforms = platformViews(root.index)
    output.result(formatPlatforms(reader, platforms), { ...reader.root, name: reader.name, platforms })
    output.next('trustedpods image inspect --platform <os/arch> …')
    return EXIT.OK
  }
  const { manifest } = await chooseImage(reader, { platform: flags.platform, signal })
  const config = await readDocument(reader, manifest.config, { signal })
  const view = imageView(reader, manifest, config)
  output.result(formatImage(view), view)
  return EXIT.OK
}
