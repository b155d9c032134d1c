/** A GET through the provider's front, by host name, without a name service. */
import { get } from 'node:http'

export function getByHost(address: string, host: string, path = '/'): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>()
  const request = get(`http://${address}${path}`, { headers: { host }, agent: false }, (response) => {
    let body = ''
    response.setEncoding('utf8').on('data', (part: string) => {
      body += part
    })
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
  })
  request.on('error', reject)
  return promise
}
