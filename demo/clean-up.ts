/** Ends everything that a demo in this folder started, now or in an earlier run that was killed, and removes the folder. */
import { access, rm } from 'node:fs/promises'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { removeImage } from '@trusted-pods/platform/engine/images.ts'
import { openEngine } from '@trusted-pods/platform/engine/open-engine.ts'
import { loadOrCreateIdentity } from '@trusted-pods/platform/identity.ts'
import { ownerOf } from '@trusted-pods/provider/owner.ts'
import { openDockerRuntime } from '@trusted-pods/provider/runtime/docker-runtime.ts'
import { endLeftChildren } from './children.ts'
import { HELLO_IMAGES } from './hello-image.ts'
import { endHoldersOf } from './holders.ts'
import { type Places, quietLog } from './places.ts'
import type { Stage } from './stage.ts'

/** What could not be removed, in words; empty: nothing is left. */
export async function cleanUp(places: Places, stage: Stage): Promise<string[]> {
  if ((await endHoldersOf(places.providerJournal)) > 0) stage.say('ended tpodserver')
  for (const name of await endLeftChildren(places.folder)) stage.say(`ended ${name.slice(2)}`)
  const left = (await exists(places.engine)) ? await cleanEngine(places) : []
  // What is left is found again by what the folder holds.
  if (left.length === 0) await rm(places.folder, { recursive: true, force: true })
  return left
}

async function cleanEngine(places: Places): Promise<string[]> {
  const engine = await openEngine({ stateDir: places.engine, log: quietLog })
  try {
    const left = (await exists(places.providerIdentity)) ? await removePods(engine, places) : []
    for (const name of HELLO_IMAGES) await removeImage(engine, name)
    return left
  } finally {
    await engine[Symbol.asyncDispose]()
  }
}

async function removePods(engine: Engine, places: Places): Promise<string[]> {
  const owner = ownerOf(peerIdFromPrivateKey(await loadOrCreateIdentity(places.providerIdentity)))
  await using runtime = await openDockerRuntime(engine, { owner, log: quietLog })
  for (const { podId } of await runtime.list()) await runtime.remove(podId, { volumes: true })
  await runtime.pruneImages(new Set())
  return (await runtime.list()).map(({ podId }) => `pod ${podId}`)
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
