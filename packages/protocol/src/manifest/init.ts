/** A starter manifest with comments, which parses without a problem. Spec: spec/MANIFEST.md#examples. Pure. */
import { TrustedPodsError } from '../errors.ts'
import { parseManifest } from './parse.ts'

export interface InitOptions {
  readonly image: string
  /** In the manifest's short forms: 8080, "8080:80/udp". With a host, the first is a plain number. */
  readonly ports?: readonly string[]
  /** Host name at the provider's HTTP front, served from the first port. Default port with a host: 8080. */
  readonly host?: string
}

/** Where unprivileged web servers listen as a rule. */
const DEFAULT_HTTP_PORT = '8080'

/** @throws TrustedPodsError MANIFEST_INVALID for an image, port or host that no manifest takes. */
export function initManifest(options: InitOptions): string {
  const text = `# A pod: containers that share one network and can share volumes. The whole format: spec/MANIFEST.md
type: trustedpods
version: "1.0"

containers:
  - image: ${scalar(options.image)}
${exposure(options)}
    # What is asked for here is reserved for the pod, paid for while it runs, and its limit.
    resources:
      cpu: 250m # a quarter of a core; 2 is two cores
      memory: 256Mi
      # nvidia.com/gpu: {quantity: 1, model: H100}

    # command: ["sh", "-c", "exec my-server"] # instead of what the image runs
    # env:
    #   GREETING: hello
    # volumes:
    #   - data:/var/data
    #   - {type: secret, source: secret.txt, mountPath: /run/secrets/key}

# volumes:
#   - name: data
#     type: volume # survives restarts and updates; emptyDir lives and dies with the pod
#     resources: {storage: 1Gi}

# With a host, a min of 0 allows the pod to sleep until a request comes, where the provider does that.
replicas: {min: 1, max: 1}
`
  parseManifest(text)
  return text
}

/** The lines about ports. */
function exposure({ host, ports = [] }: InitOptions): string {
  const [first, ...others] =
    host === undefined ? [undefined, ...ports] : [ports[0] ?? DEFAULT_HTTP_PORT, ...ports.slice(1)]
  const lines: string[] = []
  if (host !== undefined && first !== undefined) {
    if (!/^\d+$/.test(first)) {
      throw new TrustedPodsError(
        'MANIFEST_INVALID',
        `the first port is ${JSON.stringify(first)}, wanted a number to serve ${host} from`,
      )
    }
    lines.push('    # Served over HTTP under this host name.', `    port: ${first}`, `    host: ${scalar(host)}`)
  }
  if (others.length > 0) {
    lines.push(
      '    # Published on the provider’s address: port:targetPort/protocol.',
      `    ports: [${others.map(scalar).join(', ')}]`,
    )
  }
  return lines.length > 0
    ? `${lines.join('\n')}\n`
    : '    # port: 8080 # together with host: served over HTTP under that name\n    # host: hello.example.org\n'
}

/** A text as a YAML scalar: plain where that is safe, else in double quotes, which JSON's are. */
function scalar(text: string): string {
  return /^[A-Za-z][\w./@-]*(:[\w.@-]+)*$/.test(text) ? text : JSON.stringify(text)
}
