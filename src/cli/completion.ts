import type { FallbackCompletionFunction } from "yargs";

/**
 * Completes commands, options, and what an option or `list` allows. Options are only offered where a dash was typed, so
 * that in their place the shell completes the names of scenarios and other files.
 */
export const completeWords: FallbackCompletionFunction = (current, _argv, complete, done) =>
  complete((error, words) => {
    if (error !== null) throw error;
    done((words ?? []).filter((word) => current.startsWith("-") || !word.startsWith("-")));
  });
