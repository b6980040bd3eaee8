import { type Reader, unzipRaw, type ZipEntry } from "unzipit";
import { InputError } from "../input-error.ts";
import { readBytes, type Source } from "../source.ts";
import { quoteName, shorten } from "./message-parts.ts";

/** Maximum size of the list of entries: about a million of them. */
const maxDirectoryBytes = 1 << 26;
/** Bytes of an entry's own header before its name. */
const localHeaderBytes = 30;
const localSignature = [0x50, 0x4b, 3, 4];
const stored = 0;
const deflated = 8;

/** One file in a zip archive; its bytes are read when somebody asks for them. */
export interface ArchivedFile {
  readonly path: string;
  readonly byteLength: number;
  /**
   * Returns the file as a source: where it lies in the archive if it is stored; if it is deflated, inflated from its
   * beginning as it is read, and once more if somebody reads backwards. Throws `InputError` if it is damaged or encrypted.
   */
  open(): Promise<Source>;
}

/** Lists the files of a zip archive from its directory at the end. Throws `InputError` if the archive is damaged. */
export async function openZip(file: Source): Promise<ArchivedFile[]> {
  const reader = archiveReader(file);
  const damaged = (error: unknown) =>
    error instanceof InputError
      ? error
      : new InputError(`${file.name}: truncated or malformed zip archive: ${shorten((error as Error).message)}`);
  let entries: ZipEntry[];
  try {
    ({ entries } = await unzipRaw(reader));
  } catch (error) {
    throw damaged(error);
  }
  const seen = new Set<string>();
  let promised = 0;
  for (const { name, compressedSize } of entries) {
    if (seen.has(name)) throw new InputError(`${file.name}: the archive has two files ${quoteName(name)}`);
    seen.add(name);
    promised += compressedSize;
  }
  if (!(promised <= file.byteLength)) {
    throw new InputError(`${file.name}: truncated or malformed zip archive: its files take ${promised} bytes`);
  }
  return entries
    .filter(({ isDirectory }) => !isDirectory)
    .map((entry) => ({
      path: entry.name,
      byteLength: entry.size,
      async open() {
        try {
          return await openEntry(file, reader, entry, damaged);
        } catch (error) {
          throw damaged(error);
        }
      },
    }));
}

/** Header of an entry: where it is and its bytes. */
interface LocalHeader {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

interface ArchiveReader extends Reader {
  /** Runs `work` and returns the first header that was read meanwhile; null if none was. */
  headerRead(work: () => Promise<void>): Promise<LocalHeader | null>;
}

/** Reads `file` for the library, and never more at once than an honest archive needs. */
function archiveReader(file: Source): ArchiveReader {
  let header: LocalHeader | null = null;
  /** One at a time: a header that is read must be that of the entry which is being opened. */
  let last: Promise<unknown> = Promise.resolve();
  return {
    async headerRead(work) {
      const mine = last.then(async () => {
        header = null;
        await work();
        return header;
      });
      last = mine.catch(() => null);
      return mine;
    },
    getLength: async () => file.byteLength,
    async read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= file.byteLength && length <= maxDirectoryBytes)) {
        throw new Error(`it refers to bytes ${offset} to ${offset + length} of ${file.byteLength}`);
      }
      const bytes = await readBytes(file, offset, offset + length);
      const isHeader = length === localHeaderBytes && localSignature.every((byte, i) => bytes[i] === byte);
      if (isHeader) header ??= { offset, bytes };
      return bytes;
    },
  };
}

async function openEntry(
  file: Source,
  reader: ArchiveReader,
  entry: ZipEntry,
  damaged: (error: unknown) => InputError,
): Promise<Source> {
  const name = `${file.name}: ${shorten(entry.name)}`;
  if (entry.encrypted) throw new InputError(`${name}: it is encrypted`);
  if (entry.compressionMethod !== stored && entry.compressionMethod !== deflated) {
    throw new InputError(`${name}: it is packed with method ${entry.compressionMethod}; only deflate can be read`);
  }
  if (entry.compressionMethod === deflated) return inflatedSource(name, entry, damaged);
  // The library reads and checks the entry's own header before it returns the stream, which is then of no use here: stored
  // bytes can be read in any order where they are.
  const header = await reader.headerRead(async () => (await entry.stream()).cancel());
  if (header === null) throw new Error(`${quoteName(entry.name)} has no header`);
  const view = new DataView(header.bytes.buffer, header.bytes.byteOffset);
  const begin = header.offset + localHeaderBytes + view.getUint16(26, true) + view.getUint16(28, true);
  if (!(begin + entry.size <= file.byteLength)) throw new Error(`${quoteName(entry.name)} reaches beyond the file`);
  return {
    name,
    byteLength: entry.size,
    slice: (start, end) => file.slice(begin + start, begin + end),
    ...(file.fill !== undefined && {
      fill: (into: Uint8Array<ArrayBuffer>, start: number) => file.fill!(into, begin + start),
    }),
  };
}

/** Bytes from the front to the back of an entry, inflated on the way. Memory holds one piece. */
function inflatedSource(name: string, entry: ZipEntry, damaged: (error: unknown) => InputError): Source {
  let stream: ReadableStreamDefaultReader<Uint8Array> | null = null;
  let piece = new Uint8Array(0);
  /** Place of the piece in the entry. */
  let offset = 0;

  async function advance(): Promise<void> {
    stream ??= (await entry.stream()).getReader();
    const { value, done } = await stream.read();
    if (done) throw new InputError(`${name}: truncated: it ends at byte ${offset + piece.length} of ${entry.size}`);
    offset += piece.length;
    piece = value as Uint8Array<ArrayBuffer>;
  }

  async function rewind(): Promise<void> {
    await stream?.cancel();
    stream = null;
    piece = new Uint8Array(0);
    offset = 0;
  }

  async function fill(into: Uint8Array<ArrayBuffer>, start: number): Promise<void> {
    try {
      if (start < offset) await rewind();
      for (let filled = 0; filled < into.length; ) {
        const skipped = start + filled - offset;
        if (skipped >= piece.length) {
          await advance();
          continue;
        }
        const now = piece.subarray(skipped, skipped + into.length - filled);
        into.set(now, filled);
        filled += now.length;
      }
    } catch (error) {
      throw damaged(error);
    }
  }

  return {
    name,
    byteLength: entry.size,
    fill,
    async slice(start, end) {
      if (!(end - start <= maxDirectoryBytes))
        throw new InputError(`${name}: ${end - start} bytes are too many at once`);
      const bytes = new Uint8Array(end - start);
      await fill(bytes, start);
      return bytes.buffer;
    },
    close: async () => rewind(),
  };
}
