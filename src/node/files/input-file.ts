import { createHash } from "node:crypto";
import { closeSync, constants, createReadStream, fstatSync, openSync, readFileSync } from "node:fs";
import { access, type FileHandle, open } from "node:fs/promises";
import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { InputError } from "../../core/input-error.ts";
import type { Source } from "../../core/source.ts";
import { escapeUnprintable } from "../../core/words.ts";

/** A regular file as a source. */
export interface FileSource extends Source {
  close(): Promise<void>;
}

/**
 * Without this flag, opening a pipe waits for its writer. Checking the file first does not help, because another can take its
 * place before it is opened.
 */
const readWithoutWaiting = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** What is read at once rather than in pieces. */
const smallBytes = 1 << 20;

const explanations: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  ENOTDIR: "no such file: a part of the path is not a folder",
  EACCES: "it may not be read: permission denied",
  EPERM: "it may not be read: permission denied",
  ELOOP: "no such file: its links go round in a circle",
  ENAMETOOLONG: "no such file: the name is too long",
  EISDIR: "this is a folder; a file is needed",
  ENXIO: "this is no regular file; a file is needed",
};

const addressProblem = "this is an address, and only files are read; download it first";

/** Whether a path is an address such as `https://…`. */
function isAddress(path: string): boolean {
  return /^[a-z][a-z\d+.-]+:\/\//i.test(path);
}

function openingError(path: string, error: unknown): InputError {
  if (error instanceof InputError) return error;
  const { code = "", message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" && isAddress(path)) return new InputError(`${escapeUnprintable(path)}: ${addressProblem}`);
  // Node refuses a path with a NUL byte itself.
  const what =
    explanations[code] ??
    (code === "ERR_INVALID_ARG_VALUE" ? "no such file" : `it cannot be opened (${code || message})`);
  return new InputError(`${escapeUnprintable(path)}: ${what}`);
}

function checkRegular(path: string, found: { isFile(): boolean; isDirectory(): boolean }): void {
  if (found.isFile()) return;
  throw new InputError(
    `${escapeUnprintable(path)}: this is ${found.isDirectory() ? "a folder" : "no regular file"}; a file is needed`,
  );
}

/**
 * Opens a regular file; with a `folder`, the one that {@link findInputFile} finds. Reading throws `InputError` if the file was
 * written to since it was opened, because the data would mix two states. Throws `InputError` if the file is missing, may not
 * be read, or is a folder, pipe or device.
 */
export async function openInputFile(path: string, folder?: string): Promise<FileSource> {
  const place = folder === undefined ? path : await findInputFile(path, folder);
  let handle: FileHandle | undefined;
  let size: number;
  let modified: bigint;
  try {
    handle = await open(place, readWithoutWaiting);
    const found = await handle.stat({ bigint: true });
    checkRegular(place, found);
    size = Number(found.size);
    modified = found.mtimeNs;
  } catch (error) {
    await handle?.close();
    throw openingError(place, error);
  }
  const file = handle;
  const name = escapeUnprintable(place);

  /** Costs two microseconds: cheap enough for every piece that is read. */
  function checkUnchanged(): void {
    const now = fstatSync(file.fd, { bigint: true });
    if (Number(now.size) === size && now.mtimeNs === modified) return;
    throw new InputError(`${name}: it was changed while it was read; let its writer finish and run again`);
  }

  async function fill(into: Uint8Array<ArrayBuffer>, start: number): Promise<void> {
    for (let filled = 0; filled < into.length; ) {
      const { bytesRead } = await file.read(into, filled, into.length - filled, start + filled);
      if (bytesRead === 0) {
        throw new InputError(`${name}: truncated: the file ends at byte ${start + filled}, more was promised`);
      }
      filled += bytesRead;
    }
    checkUnchanged();
  }

  return {
    name,
    byteLength: size,
    fill,
    async slice(start, end) {
      const bytes = new Uint8Array(end - start);
      await fill(bytes, start);
      return bytes.buffer;
    },
    close: () => file.close(),
  };
}

/**
 * Opens a regular file for reading and returns its descriptor, which the caller closes. Throws `InputError` as
 * {@link openInputFile} does.
 */
export function openRegularFile(path: string): number {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, readWithoutWaiting);
    checkRegular(path, fstatSync(descriptor));
    return descriptor;
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    throw openingError(path, error);
  }
}

/**
 * Reads a small regular file whole. Throws `InputError` as {@link openInputFile} does, and if it has more than `most` bytes.
 */
export function readSmallFile(path: string, most: number): Buffer {
  const descriptor = openRegularFile(path);
  try {
    const { size } = fstatSync(descriptor);
    if (size > most) throw new InputError(`${escapeUnprintable(path)}: ${size} bytes; at most ${most} are read`);
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Returns the SHA-256 of a regular file as hexadecimal digits, reading a large one in pieces. Throws `InputError` as
 * {@link openInputFile} does.
 */
export async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  const descriptor = openRegularFile(path);
  // A stream costs more than to read so little.
  const bytes = readIfSmall(descriptor);
  if (bytes !== null) hash.update(bytes);
  else await pipeline(createReadStream("", { fd: descriptor }), hash);
  return hash.digest("hex");
}

/** Reads the regular file of `descriptor` whole and closes it, if it has at most 1 MiB; else returns null and leaves it open. */
function readIfSmall(descriptor: number): Buffer | null {
  let isLarge = false;
  try {
    isLarge = fstatSync(descriptor).size > smallBytes;
    return isLarge ? null : readFileSync(descriptor);
  } finally {
    if (!isLarge) closeSync(descriptor);
  }
}

/** Where the copies of another machine's files are, in order, by the path in the scenario that names them. Plain data. */
export type FileCopies = Readonly<Record<string, readonly string[]>>;

let copies: FileCopies = {};

/** From now on this thread reads the copies wherever a scenario names files that have some. */
export function useFileCopies(those: FileCopies): void {
  copies = those;
}

/** Returns the copies of the files that `path` names on another machine; undefined if there are none. */
export function copiesOf(path: string): readonly string[] | undefined {
  return Object.hasOwn(copies, path) ? copies[path] : undefined;
}

/** Resolves `path` against `folder` or, if there is nothing, the working directory. Throws `InputError` if both lack it. */
export async function findInputFile(path: string, folder: string): Promise<string> {
  const copied = copiesOf(path);
  if (copied !== undefined) return copied[0];
  const candidates = [...new Set([resolve(folder, path), resolve(path)])];
  for (const candidate of candidates) {
    const exists = await access(candidate).then(
      () => true,
      () => false,
    );
    if (exists) return candidate;
  }
  if (isAddress(path)) throw new InputError(`${escapeUnprintable(path)}: ${addressProblem}`);
  throw new InputError(
    `${escapeUnprintable(path)}: no such file; looked for ${candidates.map(escapeUnprintable).join(" and ")}`,
  );
}
