import { InputError } from "./input-error.ts";

/**
 * Bytes that can be read at any offset: a file, a `Blob`, an array. The readers in `formats` accept nothing else, so
 * they run wherever bytes do. It is hyparquet's `AsyncBuffer` with a name.
 */
export interface Source {
  /** Name in messages. What the source is, its bytes decide. */
  readonly name: string;
  readonly byteLength: number;
  /**
   * Returns the bytes from `start` up to `end`, `0 ≤ start ≤ end ≤ byteLength`, in a buffer of exactly that length,
   * which the caller may change. Throws `InputError` if they cannot be read or have changed since the source was
   * opened.
   */
  slice(start: number, end: number): Promise<ArrayBuffer> | ArrayBuffer;
  /**
   * Fills `into` with the bytes from `start`, like {@link slice}, without a new buffer for each piece of a long file.
   */
  fill?(into: Uint8Array<ArrayBuffer>, start: number): Promise<void>;
  /** Releases what the source holds, such as a file handle. Nothing may be read afterwards. */
  close?(): Promise<void>;
}

/** Returns a source of `bytes`, which must not change while it is read. */
export function bytesSource(bytes: Uint8Array<ArrayBuffer>, name: string): Source {
  const { buffer, byteOffset, byteLength } = bytes;
  return { name, byteLength, slice: (start, end) => buffer.slice(byteOffset + start, byteOffset + end) };
}

/** Returns a source of a `Blob`, such as a file that was chosen or dropped in a browser. */
export function blobSource(blob: Blob, name: string): Source {
  return {
    name,
    byteLength: blob.size,
    async slice(start, end) {
      try {
        return await blob.slice(start, end).arrayBuffer();
      } catch (cause) {
        throw new InputError(`${name}: cannot be read, or has changed since it was chosen; choose it again`, {
          cause,
        });
      }
    },
  };
}

/** Returns the bytes of `source` from `start` up to `end`. Throws `InputError` if the source ends before that. */
export async function readBytes(source: Source, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(await source.slice(start, end));
  if (bytes.length === end - start) return bytes;
  throw new InputError(`${source.name}: truncated: the file ends at byte ${start + bytes.length}; more was promised`);
}

/** Fills `into` with the bytes of `source` from `start`. Throws `InputError` if the source ends before that. */
export async function fillBytes(source: Source, into: Uint8Array<ArrayBuffer>, start: number): Promise<void> {
  if (source.fill !== undefined) await source.fill(into, start);
  else into.set(await readBytes(source, start, start + into.length));
}

/**
 * Returns all of `source` as UTF-8 text, without a byte order mark, and closes it. Throws `InputError` above `most`
 * bytes.
 */
export async function readText(source: Source, most: number): Promise<string> {
  try {
    const { name, byteLength } = source;
    if (byteLength > most) throw new InputError(`${name}: ${byteLength} bytes; the maximum is ${most}`);
    return new TextDecoder().decode(await readBytes(source, 0, byteLength));
  } finally {
    await source.close?.();
  }
}

/** Runs `use` on `source` and closes it if that throws; if it succeeds, the result owns the source. */
export async function closeOnError<Opened extends Pick<Source, "close">, Result>(
  source: Opened,
  use: (source: Opened) => Promise<Result>,
): Promise<Result> {
  try {
    return await use(source);
  } catch (error) {
    await source.close?.();
    throw error;
  }
}
