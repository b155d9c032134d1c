/** `trustedpods image`: the commands on images, by the names that skopeo has for places. Spec: docs/cli.md#images. */
import type { Command } from 'commander'
import type { Run } from './command.ts'
import { addImageExport, addImageImport } from './image-car.ts'
import { addImageDecrypt } from './image-decrypt.ts'
import { addImageEncrypt } from './image-encrypt.ts'
import { addImageFetch } from './image-fetch.ts'
import { addImageInspect } from './image-inspect.ts'
import { addImageGc, addImageLs, addImageRm } from './image-manage.ts'
import { addImagePublish } from './image-publish.ts'

export function addImage(program: Command, run: Run): void {
  const image = program
    .command('image')
    .description('encrypt, decrypt, inspect, publish, fetch and store images')
    .addHelpText(
      'after',
      `
Places: docker-daemon:NAME, docker://NAME (a registry), oci:FOLDER[:TAG], oci-archive:FILE[:TAG],
docker-archive:FILE[:NAME], ipfs:CID. A NAME alone as SRC is the engine's image, else the registry's.`,
    )
  for (const add of [
    addImageEncrypt,
    addImageDecrypt,
    addImageInspect,
    addImagePublish,
    addImageFetch,
    addImageExport,
    addImageImport,
    addImageLs,
    addImageRm,
    addImageGc,
  ])
    add(image, run)
}
