/**
 * A copy of the contracts in the temporary folder, with OpenZeppelin's sources inside its root and the plain code generator: several
 * times quicker than the one of production, free to be broken on purpose, and the only layout that forge's coverage can read.
 */
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export const ROOT = dirname(import.meta.dirname)

/** The folder that holds `contracts/`; disposing removes it. */
export interface ContractsCopy extends AsyncDisposable {
  readonly folder: string
}

export async function copyContracts(): Promise<ContractsCopy> {
  const folder = await mkdtemp(join(tmpdir(), 'trusted-pods-contracts-'))
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  await mkdir(join(folder, 'scripts'))
  await cp(join(ROOT, 'scripts/solc.mjs'), join(folder, 'scripts/solc.mjs'))
  const skipped = [join(ROOT, 'contracts/out'), join(ROOT, 'contracts/cache')]
  await cp(join(ROOT, 'contracts'), join(folder, 'contracts'), {
    recursive: true,
    filter: (path) => !skipped.includes(path),
  })
  const library = 'node_modules/@openzeppelin/contracts'
  await cp(join(ROOT, library), join(folder, 'contracts', library), { recursive: true })
  const config = join(folder, 'contracts/foundry.toml')
  await writeFile(config, plain(await readFile(config, 'utf8')))
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) }
}

function plain(config: string): string {
  return config
    .replaceAll('../node_modules', 'node_modules')
    .replace(/^additional_compiler_profiles = .*\n/m, '')
    .replace(/^compilation_restrictions = \[[^\]]*\]\n/m, '')
}
