import { escapeUnprintable, escapeUnprintableInLines } from "../core/escape-unprintable.ts";
import { InputError } from "../core/input-error.ts";
import { isSystemError } from "../core/system-error.ts";

/**
 * Done; a check failed; the input, or the place for the output, is at fault; the program is; what was printed could not be
 * written (the last two as in sysexits.h).
 */
export const exitCodes = { done: 0, failedCheck: 1, badInput: 2, internalError: 70, outputError: 74 } as const;

/** What the machine may refuse anywhere; a missing file that no command names is rather a fault of the installation. */
const machineErrors = new Set([
  "EACCES",
  "EDQUOT",
  "EFBIG",
  "EIO",
  "EMFILE",
  "ENFILE",
  "ENOMEM",
  "ENOSPC",
  "EPERM",
  "EROFS",
]);

/**
 * Says on standard error what is wrong, and returns the exit code for it.
 *
 * @param print writes text and a line feed to standard error
 */
export function reportError(
  thrown: unknown,
  verbose: boolean,
  print = (text: string): void => void process.stderr.write(`${text}\n`),
): number {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  // yargs throws errors of its own for words it cannot make sense of.
  const isBadInput =
    error instanceof InputError || error.name === "YError" || (isSystemError(error) && machineErrors.has(error.code));
  const lines = error instanceof InputError ? error.lines : error.message.split("\n");
  print(`moesim: ${isBadInput ? "" : "internal error: "}${lines.map(escapeUnprintable).join("\n")}`);
  if (verbose) process.stderr.write(`${escapeUnprintableInLines(error.stack ?? "")}\n`);
  else if (!isBadInput) print("This is a fault of moesim. --verbose shows where it happened.");
  return isBadInput ? exitCodes.badInput : exitCodes.internalError;
}
