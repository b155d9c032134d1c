/** Which announced providers a person wants to see: by what they say of themselves. Spec: spec/REGISTRY.md#filters. Pure. */
import type { ProviderOffer } from './offer.ts'

export interface OfferFilter {
  /** A region or the part before a slash: "DE" finds "DE/fsn1". */
  readonly region?: string
  /** Evidence type: "snp" or "tdx". */
  readonly tee?: string
  /** A GPU model; 'any': some GPU. */
  readonly gpu?: string
  /** Sandbox of the tenants: "runsc". */
  readonly sandbox?: string
  /** Also those whose evidence is simulated; false leaves them out. */
  readonly simulated?: boolean
}

const GPU = 'nvidia.com/gpu'
const ANY = 'any'

export function filterOffers(offers: readonly ProviderOffer[], filter: OfferFilter): ProviderOffer[] {
  return offers.filter((offer) => isWanted(offer, filter))
}

function isWanted(offer: ProviderOffer, { region, tee, gpu, sandbox, simulated = true }: OfferFilter): boolean {
  return (
    (region === undefined || isWithin(offer.region, region)) &&
    (sandbox === undefined || isSame(offer.sandbox, sandbox)) &&
    (gpu === undefined || hasGpu(offer, gpu)) &&
    hasEvidence(offer, { tee, simulated })
  )
}

function isWithin(region: string, wanted: string): boolean {
  return isSame(region, wanted) || region.toLowerCase().startsWith(`${wanted.toLowerCase()}/`)
}

function hasEvidence(
  { attestations }: ProviderOffer,
  { tee, simulated }: { tee: string | undefined; simulated: boolean },
): boolean {
  if (tee === undefined && simulated) return true
  return attestations.some(
    (hint) => (tee === undefined || isSame(hint.evidenceType, tee)) && (simulated || !hint.simulated),
  )
}

/** By its capacity, or by its prices where it says nothing of its capacity. */
function hasGpu({ capacity, pricing }: ProviderOffer, model: string): boolean {
  const has = (name: string, selector: string) => name === GPU && (isSame(model, ANY) || isSame(selector, model))
  if (capacity.length > 0) return capacity.some(({ name, selector, quantity }) => quantity > 0n && has(name, selector))
  return pricing.some(({ prices }) => prices.some(({ resource, selector }) => has(resource, selector)))
}

function isSame(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}
