/** In place of simulated-trust.ts under the condition trusted-pods-production: no development root is an anchor. Pure. */
export const SIMULATED_TRUST = undefined
