/** What a command is to the program: a name with options, and an action that ends in an exit code. */
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import type { ExitCode } from '../exit-codes.ts'

/** Runs an action with the context of the command line that commander has parsed. */
export type Run = (command: Command, action: (context: Context) => Promise<ExitCode>) => Promise<void>
