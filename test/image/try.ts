import { mkdtemp, rm } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import { nodeStreamCrypto } from '@trusted-pods/platform/stream-crypto.ts'
import { encodeConfig } from '../support/image-fixture.ts'
import { fetchTree, serveBlocks } from '@trusted-pods/protocol/image/blocks.ts'
import { startNodePair } from '../support/nodes.ts'
import { createHash } from 'node:crypto'
const dir = await mkdtemp('/tmp/tp-mem-')
const bs = await openFileBlockstore(dir+'/a'); const bs2 = await openFileBlockstore(dir+'/b')
const chunk = randomBytes(1<<20); const N = Number(process.argv[2] ?? 512)
async function* gen(){ const c=nodeStreamCrypto.aes256Ctr(chunk.subarray(0,32),chunk.subarray(0,16)); for(let i=0;i<N;i++) yield c.update(chunk) }
const h=createHash('sha256'); for await(const c of gen()) h.update(c)
const diffId='sha256:'+h.digest('hex')
const rss=()=>Math.round(process.memoryUsage.rss()/1e6)+' MB rss max '+Math.round(process.resourceUsage().maxRSS/1e3)
const cpu=()=>{const u=process.resourceUsage();return ((u.userCPUTime+u.systemCPUTime)/1e6).toFixed(2)}
console.log('start',rss())
let t=Date.now(),c0=cpu()
const done=(l:string)=>{console.log(l,((Date.now()-t)/1000).toFixed(2)+' s', (N/((Date.now()-t)/1000)).toFixed(0)+' MiB/s','cpu',(Number(cpu())-Number(c0)).toFixed(2),rss());t=Date.now();c0=cpu()}
const p = await publishImage({name:"x",config:encodeConfig([diffId]),layers:[{mediaType:"application/vnd.oci.image.layer.v1.tar",diffId,open:gen}],async [Symbol.asyncDispose](){}},{blockstore:bs,crypto:nodeStreamCrypto})
done('publish (gzip)')
{
await using pair = await startNodePair()
await serveBlocks(pair.provider,{blockstore:bs})
t=Date.now();c0=cpu()
if(!process.argv[3]) await fetchTree(pair.connection,{cid:p.cid,blockstore:bs2,maxBytes:1e11})
done('fetch')
}
const img = await openImage((process.argv[3]?bs:bs2),{cid:p.cid,privateKey:p.privateKey,crypto:nodeStreamCrypto,limits:{encryptedBytes:1e11,unpackedBytes:1e11}})
done('open')
let n=0; for await(const x of img.layers[0]!.open()) {n+=x.length}
done('stream')
await rm(dir,{recursive:true})
