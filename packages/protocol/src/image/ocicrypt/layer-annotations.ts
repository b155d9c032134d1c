/** The annotations by which a layer descriptor carries its encryption. Spec: spec/IMAGES.md#annotations. */
import { refused } from '../refused.ts'
import type { ImageKey } from './image-key.ts'
import { unwrapPrivateOptions, wrapPrivateOptions } from './jwe.ts'
import {
  encodePublicOptions,
  fromBase64,
  type PrivateOptions,
  type PublicOptions,
  parsePublicOptions,
  toBase64,
} from './layer-options.ts'

export const PUBLIC_OPTIONS_ANNOTATION = 'org.opencontainers.image.enc.pubopts'
export const JWE_ANNOTATION = 'org.opencontainers.image.enc.keys.jwe'

export interface LayerOptions {
  readonly publicOptions: PublicOptions
  readonly privateOptions: PrivateOptions
}

/** One packet for each recipient: ocicrypt tries them one after the other, and so do we. */
export async function toAnnotations(
  options: LayerOptions,
  recipients: readonly CryptoKey[],
): Promise<Record<string, string>> {
  const packets: string[] = []
  for (const recipient of recipients) packets.push(await wrapPrivateOptions(options.privateOptions, recipient))
  return {
    [JWE_ANNOTATION]: packets.join(','),
    [PUBLIC_OPTIONS_ANNOTATION]: toBase64(encodePublicOptions(options.publicOptions)),
  }
}

/** @throws TrustedPodsError PROVISION_IMAGE_REFUSED where one is missing or not as it must be. Other key schemes are ignored. */
export async function fromAnnotations(
  annotations: Readonly<Record<string, string>>,
  key: ImageKey,
): Promise<LayerOptions> {
  const [packed, wrapped] = [annotations[PUBLIC_OPTIONS_ANNOTATION], annotations[JWE_ANNOTATION]]
  if (packed === undefined) throw refused(`no annotation ${PUBLIC_OPTIONS_ANNOTATION}`)
  if (wrapped === undefined) throw refused(`no annotation ${JWE_ANNOTATION}: wrapped for no JWE key`)
  const publicOptions = fromBase64(packed)
  if (!publicOptions) throw refused(`${PUBLIC_OPTIONS_ANNOTATION} is not base64`)
  return {
    publicOptions: parsePublicOptions(publicOptions),
    privateOptions: await unwrapPrivateOptions(wrapped, key),
  }
}
