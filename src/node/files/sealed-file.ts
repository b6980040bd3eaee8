import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { InputError } from "../../core/input-error.ts";

const sealBytes = 32;

/**
 * Writes `bytes` and their SHA-256 so that a program, or a machine, that stops meanwhile leaves the file as it was before
 * or as it is to be.
 */
export function writeSealed(file: string, bytes: Uint8Array): void {
  const beside = `${file}.new`;
  writeFileSync(beside, Buffer.concat([sealOf(bytes), bytes]), { flush: true });
  renameSync(beside, file);
}

/** The bytes of {@link writeSealed}; null where there is no file. Throws `InputError` where they are others. */
export function readSealed(file: string): Uint8Array | null {
  let sealed: Uint8Array;
  try {
    sealed = readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new InputError(`${file}: cannot be read: ${(error as Error).message}`);
  }
  const bytes = sealed.subarray(sealBytes);
  if (!sealOf(bytes).equals(sealed.subarray(0, sealBytes))) {
    throw new InputError(`${file}: is damaged; run without --resume to start anew`);
  }
  return bytes;
}

function sealOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
