import { escapeUnprintableInLines } from "../core/escape-unprintable.ts";
import { InputError } from "../core/input-error.ts";

/**
 * Done; a check failed; the input is at fault; the program is; what was printed could not be written (the last two as in
 * sysexits.h).
 */
export const exitCodes = { done: 0, failedCheck: 1, badInput: 2, internalError: 70, outputError: 74 } as const;

/** Says on standard error what is wrong, and returns the exit code for it. */
export function reportError(thrown: unknown, verbose: boolean): number {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  // yargs throws errors of its own for words it cannot make sense of.
  const isBadInput = error instanceof InputError || error.name === "YError";
  const message = isBadInput ? error.message : `internal error: ${error.message}`;
  process.stderr.write(`moesim: ${escapeUnprintableInLines(message)}\n`);
  if (verbose) process.stderr.write(`${error.stack}\n`);
  else if (!isBadInput) process.stderr.write("This is a fault of moesim. --verbose shows where it happened.\n");
  return isBadInput ? exitCodes.badInput : exitCodes.internalError;
}
