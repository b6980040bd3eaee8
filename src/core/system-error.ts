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
