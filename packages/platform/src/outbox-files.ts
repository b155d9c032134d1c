/**
 * The outbox of an account as files, one for each nonce: making one is what reserves the nonce, also among several processes that
 * pay from one account on this machine. Spec: spec/PAYMENT.md#outbox.
 */
import { randomUUID } from 'node:crypto'
import { access, link, mkdir, open, readdir, readFile, rename, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { OutboxAccount, OutboxAttempt, OutboxEntry, OutboxStore } from '@trusted-pods/protocol/chain/outbox.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { getAddress, type Hex, isAddress, isHex } from 'viem'
import { hasCode } from './error-code.ts'

const NAME = /^([0-9]{1,15})\.json$/
/** A registration with its record is below 10 KiB; anything longer is no file of ours. */
const MAX_FILE_BYTES = 1024 * 1024

/** Mined transactions of an account that are kept: more than a reorganisation removes. */
const REMEMBERED = 64

function minedPath(folder: string, nonce: number): string {
  return join(folder, `${nonce}.mined`)
}

/** One folder for each chain and account below `folder`. */
export function openOutboxFiles(folder: string): OutboxStore {
  const folderOf = ({ chainId, address }: OutboxAccount) => join(folder, `${chainId}-${address.toLowerCase()}`)
  const pathOf = (account: OutboxAccount, nonce: number) => join(folderOf(account), `${nonce}.json`)
  return {
    load: (account) => readAll(folderOf(account)),
    async add(account, entry) {
      const temporary = await write(folderOf(account), entry)
      try {
        await link(temporary, pathOf(account, entry.nonce))
        await syncFolder(folderOf(account))
        return true
      } catch (error) {
        if (hasCode(error, 'EEXIST')) return false
        throw error
      } finally {
        await unlink(temporary)
      }
    },
    async replace(account, entry) {
      await rename(await write(folderOf(account), entry), pathOf(account, entry.nonce))
      await syncFolder(folderOf(account))
    },
    async remove(account, nonce, { isMined = false } = {}) {
      const place = folderOf(account)
      try {
        await (isMined ? rename(pathOf(account, nonce), minedPath(place, nonce)) : unlink(pathOf(account, nonce)))
        if (isMined) await rm(minedPath(place, nonce - REMEMBERED), { force: true })
      } catch (error) {
        // Another process saw it mined first.
        if (!hasCode(error, 'ENOENT')) throw error
      }
    },
    async wasMined(account, nonce) {
      try {
        await access(minedPath(folderOf(account), nonce))
        return true
      } catch (error) {
        if (hasCode(error, 'ENOENT')) return false
        throw error
      }
    },
  }
}

async function readAll(folder: string): Promise<OutboxEntry[]> {
  const entries: OutboxEntry[] = []
  for (const name of await namesIn(folder)) {
    const entry = await readEntry(join(folder, name))
    if (entry) entries.push(entry)
  }
  return entries.toSorted((a, b) => a.nonce - b.nonce)
}

/** Temporary files of a write that was cut off have another ending. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => NAME.test(name))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  }
}

/** undefined: another process removed it meanwhile. */
async function readEntry(path: string): Promise<OutboxEntry | undefined> {
  try {
    const text = await readFile(path, 'utf8')
    return parseEntry(text.slice(0, MAX_FILE_BYTES), path)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function formatEntry({ to, gas, attempts, ...rest }: OutboxEntry): string {
  const written = attempts.map(({ maxFeePerGas, maxPriorityFeePerGas, ...attempt }) => ({
    ...attempt,
    maxFeePerGas: maxFeePerGas.toString(),
    maxPriorityFeePerGas: maxPriorityFeePerGas.toString(),
  }))
  return `${JSON.stringify({ ...rest, to: to ?? null, gas: gas.toString(), attempts: written }, undefined, 2)}\n`
}

/** Never skipped when it cannot be read: a transaction of ours would be forgotten, and its nonce given to another. */
function parseEntry(text: string, path: string): OutboxEntry {
  try {
    const { nonce, what, intent, to, data, gas, attempts } = JSON.parse(text)
    if (!Number.isSafeInteger(nonce) || !isHex(data) || !Array.isArray(attempts) || attempts.length === 0)
      throw damaged(path)
    if (to !== null && !isAddress(to)) throw damaged(path)
    return {
      nonce,
      what: String(what),
      ...(typeof intent === 'string' && { intent }),
      to: to === null ? undefined : getAddress(to),
      data,
      gas: BigInt(gas),
      attempts: attempts.map((attempt) => parseAttempt(attempt, path)),
    }
  } catch (cause) {
    throw cause instanceof TrustedPodsError ? cause : damaged(path)
  }
}

function parseAttempt(value: Record<string, unknown>, path: string): OutboxAttempt {
  const { hash, raw, signedAtMs, maxFeePerGas, maxPriorityFeePerGas } = value
  if (!isHex(hash) || !isHex(raw)) throw damaged(path)
  return {
    hash: hash as Hex,
    raw: raw as Hex,
    signedAtMs: Number(signedAtMs),
    maxFeePerGas: BigInt(String(maxFeePerGas)),
    maxPriorityFeePerGas: BigInt(String(maxPriorityFeePerGas)),
  }
}

function damaged(path: string): TrustedPodsError {
  return new TrustedPodsError(
    'PLATFORM_STATE',
    `${path} is no stored transaction: move it away once the account's transactions with its nonce are known to be mined`,
  )
}

async function write(folder: string, entry: OutboxEntry): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const temporary = join(folder, `${entry.nonce}.${randomUUID()}.tmp`)
  const file = await open(temporary, 'wx', 0o600)
  await file.writeFile(formatEntry(entry))
  await file.sync()
  await file.close()
  return temporary
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path)
  await folder.sync()
  await folder.close()
}
