/** Codes by which the system says that a call made no sense: a fault of the program, not of the machine. */
const programFaults = new Set(["EBADF", "EFAULT", "EINVAL", "ENOTSOCK"]);

/** A system call that failed because of the machine: a full disk, a missing folder, too many open files. */
export interface SystemError extends Error {
  readonly code: string;
  readonly syscall: string;
  /** The file of the call, if it had one. */
  readonly path?: string;
}

/** Whether `error` says that a system call failed for a reason outside the program. */
export function isSystemError(error: unknown): error is SystemError {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as Partial<SystemError>;
  return typeof code === "string" && typeof syscall === "string" && !programFaults.has(code);
}
