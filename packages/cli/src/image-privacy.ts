/**
 * What of an image everybody will be able to read: `--image-config`, `--layers`, and the warnings. The commands on images have no manifest
 * into which a config could be sealed. Spec: spec/IMAGES.md#commands.
 */
import { copyPlain } from '@trusted-pods/platform/images/layer-transforms.ts'
import type { LayerTransform } from '@trusted-pods/platform/images/transform-image.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  CONFIG_PRIVACY,
  type ConfigPrivacy,
  secretLooking,
  stripConfig,
} from '@trusted-pods/protocol/image/public-config.ts'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Output } from './output.ts'

export interface PrivacyFlags {
  imageConfig: ConfigPrivacy
  /** As the user wrote them: from 0, negative ones from the end. */
  layers?: readonly number[]
}

export function addPrivacyOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--image-config <how>', 'plain: as it is; stripped: without labels, history and author')
        .choices([...CONFIG_PRIVACY])
        .default('plain'),
    )
    .option(
      '--layers <numbers>',
      'encrypt only these layers, as 0,2 or -1 for the last; ALL OTHERS STAY READABLE, and no provider runs it',
      parseLayers,
    )
}

/** @throws TrustedPodsError PLATFORM_CONFIG for what takes a manifest. */
export function requireNoManifest({ imageConfig }: PrivacyFlags): void {
  if (imageConfig !== 'sealed') return
  throw new TrustedPodsError(
    'PLATFORM_CONFIG',
    '--image-config sealed moves environment and command into the sealed manifest, which trustedpods deploy has and this command has not: wanted plain or stripped',
  )
}

/** What is published in place of a config, and a warning of what in it looks like a secret. */
export function publicConfig({ imageConfig }: PrivacyFlags, output: Output): (config: Uint8Array) => Uint8Array {
  return (config) => {
    const names = secretLooking(config)
    if (names.length > 0)
      output.progress(
        `warning: anybody who has this image can read ${names.join(', ')} in its config, which no command on images encrypts`,
      )
    return imageConfig === 'stripped' ? stripConfig(config) : config
  }
}

/** Only the layers that were chosen; without a choice, all. A layer that an image has twice is encrypted at both places. */
export function chosenLayers(
  transform: LayerTransform,
  { layers }: PrivacyFlags,
  onPlain: (index: number) => void,
): LayerTransform {
  if (layers === undefined) return transform
  return (layer, blobs) => {
    const wanted = layers.map((index) => fromStart(index, layer.count, layer.name))
    if (layer.positions.some((position) => wanted.includes(position))) return transform(layer, blobs)
    for (const position of layer.positions) onPlain(position)
    return copyPlain(layer, blobs)
  }
}

/** Loud: whoever gets this image reads them. */
export function tellPlainLayers(output: Output, plain: readonly number[]): void {
  if (plain.length === 0) return
  output.progress(
    `WARNING: LAYERS ${plain.join(', ')} ARE NOT ENCRYPTED: anybody who has this image can read them, and can put others in their place; no provider takes it`,
  )
}

function fromStart(index: number, count: number, name: string): number {
  const position = index < 0 ? count + index : index
  if (position >= 0 && position < count) return position
  throw new TrustedPodsError(
    'MANIFEST_IMAGE_INVALID',
    `--layers ${index}: the image has ${count} layers, from 0 to ${count - 1} (${name})`,
  )
}

function parseLayers(text: string): number[] {
  const numbers = text.split(',')
  if (numbers.every((number) => /^-?\d{1,4}$/.test(number))) return numbers.map(Number)
  throw new InvalidArgumentError('wanted numbers of layers, as 0,2 or -1')
}
