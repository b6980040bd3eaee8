import type { CommandModule, FallbackCompletionFunction } from "yargs";
import { epilogue, examples } from "../help.ts";

/** A method of yargs' parser that its types describe incompletely. */
interface CompletionScripts {
  /** Prints the completion script of `program`, made by its `command`, for the shell that SHELL names. */
  showCompletionScript(program: string, command: string): void;
}

/** Returns the command that lets `parser` print a completion script. */
export function completionCommand(parser: object): CommandModule {
  return {
    command: "completion",
    describe: "Print a completion script for ~/.bashrc or ~/.zshrc",
    builder: (yargs) =>
      yargs
        .example(
          examples({
            "Enable completion in bash, from the next shell on": "$0 completion >> ~/.bashrc",
            "Enable completion in zsh, if it is the login shell": "$0 completion >> ~/.zshrc",
          }),
        )
        .epilogue(epilogue()),
    handler: () => (parser as CompletionScripts).showCompletionScript("moesim", "completion"),
  };
}

/**
 * Completes commands, options, and the values that an option or `list` allows. It offers options only after a dash, so that
 * otherwise the shell completes the names of scenarios and other files.
 */
export const completeWords: FallbackCompletionFunction = (current, _argv, complete, done) =>
  complete((error, words) => {
    if (error !== null) throw error;
    done((words ?? []).filter((word) => current.startsWith("-") || !word.startsWith("-")));
  });
