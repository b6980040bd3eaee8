import type { CommandModule, FallbackCompletionFunction } from "yargs";
import { epilogue, examples } from "../help.ts";

/** What a parser of yargs can do, of which its types say less. */
interface CompletionScripts {
  /** Prints what completes words of `program`, for the shell that SHELL names; its `command` is where that comes from. */
  showCompletionScript(program: string, command: string): void;
}

/** The command that prints a completion script, which is left to `parser`. */
export function completionCommand(parser: object): CommandModule {
  return {
    command: "completion",
    describe: "Print a script that completes words, for ~/.bashrc or ~/.zshrc",
    builder: (yargs) =>
      yargs
        .example(
          examples({
            "Complete words in bash, from the next shell on": "$0 completion >> ~/.bashrc",
            "The same in zsh, where that is the login shell": "$0 completion >> ~/.zshrc",
          }),
        )
        .epilogue(epilogue()),
    handler: () => (parser as CompletionScripts).showCompletionScript("moesim", "completion"),
  };
}

/**
 * Completes commands, options, and what an option or `list` allows. Options are only offered where a dash was typed, so
 * that in their place the shell completes the names of scenarios and other files.
 */
export const completeWords: FallbackCompletionFunction = (current, _argv, complete, done) =>
  complete((error, words) => {
    if (error !== null) throw error;
    done((words ?? []).filter((word) => current.startsWith("-") || !word.startsWith("-")));
  });
