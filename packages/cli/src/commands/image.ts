/** `trustedpods image`: the commands on images, by the names that skopeo has for places. Spec: docs/cli.md#images. */
import type { Command } from 'commander'
import { addAsked, type CommandLoaders, type Run } from './command.ts'

const loaders: CommandLoaders = {
  encrypt: async () => (await import('./image-encrypt.ts')).addImageEncrypt,
  decrypt: async () => (await import('./image-decrypt.ts')).addImageDecrypt,
  inspect: async () => (await import('./image-inspect.ts')).addImageInspect,
  publish: async () => (await import('./image-publish.ts')).addImagePublish,
  fetch: async () => (await import('./image-fetch.ts')).addImageFetch,
  export: async () => (await import('./image-car.ts')).addImageExport,
  import: async () => (await import('./image-car.ts')).addImageImport,
  ls: async () => (await import('./image-manage.ts')).addImageLs,
  rm: async () => (await import('./image-manage.ts')).addImageRm,
  gc: async () => (await import('./image-manage.ts')).addImageGc,
}

export async function addImage(program: Command, run: Run, args: readonly string[]): Promise<void> {
  const image = program
    .command('image')
    .description('encrypt, decrypt, inspect, publish, fetch and store images')
    .addHelpText(
      'after',
      `
Places: docker-daemon:NAME, docker://NAME (a registry), oci:FOLDER[:TAG], oci-archive:FILE[:TAG],
docker-archive:FILE[:NAME], ipfs:CID. A NAME alone as SRC is the engine's image, else the registry's.`,
    )
  // Its own name is before theirs: `trustedpods image --help` asks for all of them.
  await addAsked(image, run, { loaders, args: args.slice(args.indexOf('image') + 1) })
}
