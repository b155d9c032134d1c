/**
 * A cases.json in the form of the attestation vectors: cases with file names, and one-byte mutations of them. Reads JSON, no evidence.
 */
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Tier } from '@trusted-pods/protocol/attestation/checks.ts'

/** One case as it is written; paths count from the folder of its file. */
export interface CaseEntry {
  readonly id: string
  /** SNP. */
  readonly report?: string
  readonly endorsement?: string
  readonly intermediate?: string
  readonly root?: string
  /** One list, or several; null: none. */
  readonly crl?: string | readonly string[] | null
  /** TDX. */
  readonly quote?: string
  readonly collateral?: string | null
  readonly collateralOverrides?: Readonly<Record<string, unknown>>
  /** Intel's word; null: none is to be had. */
  readonly expectedTcbStatus?: string | null
  readonly advisories?: readonly string[]
  /** The only root to trust; left out: the pinned ones. */
  readonly trustedRoot?: string
  /** ISO 8601. */
  readonly now: string
  readonly expected: Tier
  /** All of these must be among the findings. */
  readonly codes?: readonly string[]
  readonly code?: string | null
  /** One of these must be. */
  readonly codesAnyOf?: readonly string[]
  /** Overrides of the default policy. */
  readonly policy?: Readonly<Record<string, unknown>>
}

/** A case whose report or quote has one byte changed. */
export interface MutationEntry {
  readonly base: string
  readonly mutation: string
  readonly offset: number
  readonly xor: number
  readonly expected: Tier
  /** Wanted, yet another code of the same tier will do. */
  readonly indicativeCode?: string
}

export interface CaseFile {
  readonly folder: string
  readonly cases: readonly CaseEntry[]
  readonly mutations: readonly MutationEntry[]
}

/** @throws TypeError where the file is not of this form. */
export async function readCaseFile(path: string): Promise<CaseFile> {
  const value: unknown = JSON.parse(await readFile(path, 'utf8'))
  const { cases, mutations } = asRecord(value, path)
  return {
    folder: dirname(path),
    cases: asList(cases, `${path}: cases`).map((item, i) => asCase(item, `${path}: cases[${i}]`)),
    mutations: asList(mutations ?? [], `${path}: mutations`).map((item, i) =>
      asMutation(item, `${path}: mutations[${i}]`),
    ),
  }
}

/** Id of a mutation, for people and for --only. */
export function mutationId({ base, mutation, offset }: MutationEntry): string {
  return `${base}+${mutation}@${offset}`
}

export function readBytes(folder: string, path: string): Promise<Uint8Array<ArrayBuffer>> {
  return readFile(join(folder, path)).then((bytes) => new Uint8Array(bytes))
}

const TIERS = ['affirming', 'warning', 'contraindicated', 'none']

function asCase(value: unknown, place: string): CaseEntry {
  const entry = asRecord(value, place)
  const { id, now, expected } = entry
  if (typeof id !== 'string' || typeof now !== 'string' || Number.isNaN(Date.parse(now))) {
    throw new TypeError(`${place}: an id and a time "now" are wanted`)
  }
  if (!TIERS.includes(String(expected))) throw new TypeError(`${place}: expected is ${String(expected)}, no tier`)
  return entry as unknown as CaseEntry
}

function asMutation(value: unknown, place: string): MutationEntry {
  const entry = asRecord(value, place)
  const { base, offset, xor, expected } = entry
  const isWhole = typeof base === 'string' && Number.isInteger(offset) && Number.isInteger(xor)
  if (!isWhole || !TIERS.includes(String(expected)))
    throw new TypeError(`${place}: base, offset, xor, expected are wanted`)
  return { mutation: 'byte', ...entry } as unknown as MutationEntry
}

function asRecord(value: unknown, place: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new TypeError(`${place}: an object is wanted`)
}

function asList(value: unknown, place: string): unknown[] {
  if (Array.isArray(value)) return value
  throw new TypeError(`${place}: a list is wanted`)
}
