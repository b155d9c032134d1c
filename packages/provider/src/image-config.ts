/** `images` of the provider's configuration file. Spec: docs/run-a-provider.md#configuration. */
import type { ConfigSection } from '@trusted-pods/platform/config-section.ts'

/** Where images are fetched beside their publishers. */
export interface ImagePlaces {
  /** Origins of the operator's own trustless gateways; http too. */
  readonly gateways: readonly string[]
  /** Whether manifests may have this machine dial addresses that are not public, and any port. */
  readonly allowPrivateSources: boolean
}

/** Gateways need nothing but their origin: paths below /ipfs/ are fixed. */
export function readImagePlaces(root: ConfigSection): ImagePlaces {
  const section = root.section('images')
  section?.only('gateways', 'allowPrivateSources')
  const gateways = section?.texts('gateways') ?? []
  for (const text of gateways)
    if (!/^https?:\/\/[^/?#@\s]+\/?$/.test(text) || !URL.canParse(text))
      section?.fail('gateways', 'must be http or https URLs without a path')
  return { gateways, allowPrivateSources: section?.flag('allowPrivateSources') ?? false }
}
