/** `trustedpods image fetch`: an image by its CID into another place, blobs unchanged. */
import { copyLayer } from '@trusted-pods/platform/images/layer-transforms.ts'
import type { WritablePlace } from '@trusted-pods/platform/images/write-place.ts'
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { toCidPlace, toWritablePlace } from '../image-places.ts'
import { openWork, type WriteFlags, writeTransformed } from '../image-work.ts'
import type { Run } from './command.ts'

interface FetchFlags extends WriteFlags {
  from: string[]
}

type CidPlace = Extract<ImagePlace, { kind: 'ipfs' }>

export function addImageFetch(image: Command, run: Run): void {
  image
    .command('fetch')
    .argument('<ipfs:CID>', 'what image publish has printed', toCidPlace)
    .argument('<dst>', 'place for it', toWritablePlace)
    .description('get an image by its CID, each block verified, and write it as it is')
    .option(
      '--from <address>',
      'where blocks are that are not here: a multiaddr with /p2p/, or the URL of a trustless gateway; can be repeated',
      (address, before: string[]) => [...before, address],
      [],
    )
    .option('--force', 'replace what is there under this name already')
    .action((source: CidPlace, destination: WritablePlace, flags: FetchFlags, self: Command) =>
      run(self, (context) => fetchImage(context, { source, destination, flags })),
    )
}

interface Fetch {
  source: CidPlace
  destination: WritablePlace
  flags: FetchFlags
}

async function fetchImage(context: Context, { source, destination, flags }: Fetch): Promise<ExitCode> {
  if (flags.from.length > 0) {
    const { fetchImageBlocks } = await import('../image-blocks.ts')
    await fetchImageBlocks(context, source.cid, flags.from)
  }
  await using work = await openWork(context, source, flags)
  const root = await writeTransformed(context, work, { destination, transform: copyLayer, flags })
  context.output.result(`fetched ${root.digest}`, { cid: `${source.cid}`, digest: root.digest })
  return EXIT.OK
}
