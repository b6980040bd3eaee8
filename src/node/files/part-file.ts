import { createHash, type Hash } from "node:crypto";
import {
  appendFileSync,
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { InputError } from "../../core/input-error.ts";

/** How far a file has been written, to tell whether that part of it is as it was. Plain data. */
export interface PartMark {
  readonly bytes: number;
  /** Of these bytes, hexadecimal. */
  readonly sha256: string;
}

/** The beginning of a file, found to be as it was. */
export interface CheckedPart {
  readonly bytes: number;
  /** Of these bytes, to go on with. */
  readonly hash: Hash;
}

/**
 * A file that is written from front to back and can be resumed. It is open only while it is written to: a run of a
 * thousand routers writes three each, more than a program may have open.
 */
export interface PartFile {
  append(bytes: Uint8Array | string): void;
  /** Lets what was written outlive a power cut, and says what it is. */
  mark(): PartMark;
}

const bytesPerRead = 2 ** 16;

/** Opens `file` for writing: behind what is `kept` of it, whatever follows that goes away, or from the beginning. */
export function openPartFile(file: string, kept: CheckedPart | null): PartFile {
  const hash = kept?.hash ?? createHash("sha256");
  if (kept !== null) truncateSync(file, kept.bytes);
  else writeFileSync(file, "");
  let bytes = kept?.bytes ?? 0;
  return {
    append(more) {
      if (more.length > 0) appendFileSync(file, more);
    },
    mark() {
      const descriptor = openSync(file, "r+");
      try {
        fsyncSync(descriptor);
        const { size } = fstatSync(descriptor);
        update(hash, descriptor, bytes, size);
        bytes = size;
      } finally {
        closeSync(descriptor);
      }
      return { bytes, sha256: hash.copy().digest("hex") };
    },
  };
}

/** Throws `InputError` where `file` does not begin with what `mark` says. */
export function checkPart(file: string, { bytes, sha256 }: PartMark): CheckedPart {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const hash = createHash("sha256");
  if (size >= bytes) {
    const descriptor = openSync(file, "r");
    try {
      update(hash, descriptor, 0, bytes);
    } finally {
      closeSync(descriptor);
    }
  }
  if (size < bytes || hash.copy().digest("hex") !== sha256) {
    throw new InputError(`${file}: is damaged; run without --resume to start anew`);
  }
  return { bytes, hash };
}

/** Adds the bytes from `start` to `end` of an open file. */
function update(hash: Hash, descriptor: number, start: number, end: number): void {
  const buffer = new Uint8Array(bytesPerRead);
  for (let at = start; at < end; ) {
    const read = readSync(descriptor, buffer, 0, Math.min(bytesPerRead, end - at), at);
    hash.update(buffer.subarray(0, read));
    at += read;
  }
}
