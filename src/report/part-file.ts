import { fstatSync, fsyncSync, openSync, statSync, truncateSync } from "node:fs";
import { InputError } from "../core/input-error.ts";

/**
 * Opens `file` for writing behind its first `bytes`: what follows them goes away, all that is there for 0. Throws
 * `InputError` where it has fewer.
 */
export function openFrom(file: string, bytes: number): number {
  if (bytes === 0) return openSync(file, "w");
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size < bytes) throw new InputError(`${file}: is damaged: it has ${size} bytes where ${bytes} were written`);
  truncateSync(file, bytes);
  return openSync(file, "a");
}

/** Lets what was written outlive a power cut; returns how many bytes the file has. */
export function bytesOnDisk(descriptor: number): number {
  fsyncSync(descriptor);
  return fstatSync(descriptor).size;
}
