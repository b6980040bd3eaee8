import { access, type FileHandle, open, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { InputError } from "../../core/input-error.ts";

/** A regular file opened for reading at any offset. */
export interface InputFile {
  /** The path as messages name it. */
  readonly path: string;
  /** Bytes, when it was opened. */
  readonly size: number;
  /** Fills all of `into` with the bytes from `offset` on. Throws `InputError` when the file ends before that. */
  readInto(into: Uint8Array, offset: number): Promise<void>;
  close(): Promise<void>;
}

const explanations: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  ENOTDIR: "no such file: a part of the path is not a folder",
  EACCES: "it may not be read: permission denied",
  EPERM: "it may not be read: permission denied",
  ELOOP: "no such file: its links go round in a circle",
  ENAMETOOLONG: "no such file: the name is too long",
};

/** Opens a regular file. Throws `InputError` when it is missing, may not be read, or is a folder or device. */
export async function openInputFile(path: string): Promise<InputFile> {
  let handle: FileHandle;
  try {
    // Before opening: to open a pipe is to wait for its writer.
    const found = await stat(path);
    if (!found.isFile()) {
      throw new InputError(
        `${path}: this is ${found.isDirectory() ? "a folder" : "no regular file"}; a file is needed`,
      );
    }
    handle = await open(path, "r");
  } catch (error) {
    if (error instanceof InputError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? "";
    throw new InputError(`${path}: ${explanations[code] ?? `it cannot be opened (${code})`}`);
  }
  const { size } = await handle.stat();
  return {
    path,
    size,
    async readInto(into, offset) {
      for (let filled = 0; filled < into.length; ) {
        const { bytesRead } = await handle.read(into, filled, into.length - filled, offset + filled);
        if (bytesRead === 0) {
          throw new InputError(`${path}: truncated: the file ends at byte ${offset + filled}, more was promised`);
        }
        filled += bytesRead;
      }
    },
    close: () => handle.close(),
  };
}

/**
 * Runs `use` on the opened file and closes the file when it throws; when it succeeds the result owns the file.
 */
export async function withInputFile<Result>(path: string, use: (file: InputFile) => Promise<Result>): Promise<Result> {
  const file = await openInputFile(path);
  try {
    return await use(file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Resolves `path` against `folder` or, when there is nothing, against the working directory. Throws `InputError`. */
export async function findInputFile(path: string, folder: string): Promise<string> {
  const candidates = [...new Set([resolve(folder, path), resolve(path)])];
  for (const candidate of candidates) {
    const exists = await access(candidate).then(
      () => true,
      () => false,
    );
    if (exists) return candidate;
  }
  throw new InputError(`${path}: no such file; looked for ${candidates.join(" and ")}`);
}
