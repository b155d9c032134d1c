/** What a command is to the program: a name with options, and an action that ends in an exit code. */
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import type { ExitCode } from '../exit-codes.ts'

/** Runs an action with the context of the command line that commander has parsed. */
export type Run = (command: Command, action: (context: Context) => Promise<ExitCode>) => Promise<void>

/** Puts a command into its place; one that has commands below it looks at the arguments too. */
export type AddCommand = (parent: Command, run: Run, args: readonly string[]) => void | Promise<void>

/** How each command is loaded, by its name. All of them together cost more memory and time to load than most of them to run. */
export type CommandLoaders = Readonly<Record<string, () => Promise<AddCommand>>>

/** Adds the commands whose names stand anywhere among the arguments; all of them where none does, for help and for what was mistyped. */
export async function addAsked(
  parent: Command,
  run: Run,
  { loaders, args }: { loaders: CommandLoaders; args: readonly string[] },
): Promise<void> {
  const asked = Object.keys(loaders).filter((name) => args.includes(name))
  for (const [name, load] of Object.entries(loaders))
    if (asked.length === 0 || asked.includes(name)) await (await load())(parent, run, args)
}
