import { InputError } from "../core/input-error.ts";
import { escapeUnprintable, escapeUnprintableInLines } from "../core/words.ts";

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
  if (verbose) process.stderr.write(`${escapeUnprintableInLines(stacksOf(error).join("\ncaused by "))}\n`);
  else if (!isBadInput) print("This is a bug in moesim; --verbose shows where it happened.");
  return isBadInput ? exitCodes.badInput : exitCodes.internalError;
}

/** A check that the user asked for failed. The command has already printed why; the program exits with code 1. */
export class CheckFailed extends Error {
  override readonly name = "CheckFailed";
}

/** Codes of system calls that made no sense: a bug in the program, not a problem of the machine. */
const programFaults = new Set(["EBADF", "EFAULT", "EINVAL", "ENOTSOCK"]);

/** A system call that failed because of the machine: a full disk, a missing folder, too many open files. */
export interface SystemError extends Error {
  readonly code: string;
  readonly syscall: string;
  /** The file of the call, if it had one. */
  readonly path?: string;
}

/** Whether `error` is a system call that failed for a reason outside the program. */
export function isSystemError(error: unknown): error is SystemError {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as Partial<SystemError>;
  return typeof code === "string" && typeof syscall === "string" && !programFaults.has(code);
}

/** The stacks of an error and of its causes: that of a plugin's error shows its line. */
function stacksOf(error: Error): string[] {
  const { stack = "", cause } = error;
  return cause instanceof Error ? [stack, ...stacksOf(cause)] : [stack];
}
