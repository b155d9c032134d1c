/** DER certificates as PEM (RFC 7468). Pure. */

export function toPem(...certificates: readonly Uint8Array[]): string {
  return certificates.map(toBlock).join('')
}

function toBlock(der: Uint8Array): string {
  const base64 = Buffer.from(der).toString('base64')
  const lines = base64.match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}
