import { escapeUnprintable, escapeUnprintableInLines } from "../core/escape-unprintable.ts";
import { InputError } from "../core/input-error.ts";
import { isSystemError } from "../core/system-error.ts";

/**
 * Success; a check failed; bad input, or an output that cannot be written; internal error; standard output cannot be written.
 * The last two are those of sysexits.h.
 */
export const exitCodes = { done: 0, failedCheck: 1, badInput: 2, internalError: 70, outputError: 74 } as const;

/** System errors that can happen anywhere. ENOENT is not among them: a missing file that no command names is a bug. */
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
 * Prints on standard error what is wrong, and returns its exit code.
 *
 * @param print writes text and a line feed to standard error
 */
export function reportError(
  thrown: unknown,
  verbose: boolean,
  print = (text: string): void => void process.stderr.write(`${text}\n`),
): number {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  // yargs throws its own errors for command lines that it cannot parse.
  const isBadInput =
    error instanceof InputError || error.name === "YError" || (isSystemError(error) && machineErrors.has(error.code));
  const lines = error instanceof InputError ? error.lines : error.message.split("\n");
  print(`moesim: ${isBadInput ? "" : "internal error: "}${lines.map(escapeUnprintable).join("\n")}`);
  if (verbose) process.stderr.write(`${escapeUnprintableInLines(error.stack ?? "")}\n`);
  else if (!isBadInput) print("This is a bug in moesim; --verbose shows where it happened.");
  return isBadInput ? exitCodes.badInput : exitCodes.internalError;
}
