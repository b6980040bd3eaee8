import { type Reader, unzipRaw, type ZipEntry } from "unzipit";
import { InputError } from "../input-error.ts";
import { platform } from "../platform.ts";
import { fillBytes, readBytes, type Source } from "../source.ts";
import { quoteName, shorten } from "./messages.ts";

/** Maximum size of the list of entries: about a million of them. */
const maxDirectoryBytes = 1 << 26;
/** Bytes of an entry read at once to compute its checksum. */
const pieceBytes = 1 << 20;
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
   * Returns the file as a source: where it lies in the archive if it is stored, after one pass over its bytes to check them;
   * if it is deflated, inflated from its beginning as it is read, and once more if somebody reads backwards. Throws
   * `InputError` if it is encrypted or has not the checksum that the archive states.
   */
  open(): Promise<Source>;
}

/** Lists the files of a zip archive from its directory at the end. Throws `InputError` if the archive is damaged. */
export async function openZip(file: Source): Promise<ArchivedFile[]> {
  const damaged = (error: unknown) =>
    error instanceof InputError
      ? error
      : new InputError(`${file.name}: truncated or malformed zip archive: ${shorten((error as Error).message)}`);
  let entries: ZipEntry[];
  try {
    ({ entries } = await unzipRaw(archiveReader(file)));
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
          return await openEntry(file, entry, damaged);
        } catch (error) {
          throw damaged(error);
        }
      },
    }));
}

/** Reads `file` for the library, and never more at once than an honest archive needs. */
function archiveReader(file: Source): Reader {
  return {
    getLength: async () => file.byteLength,
    async read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= file.byteLength && length <= maxDirectoryBytes)) {
        throw new Error(`it refers to bytes ${offset} to ${offset + length} of ${file.byteLength}`);
      }
      return readBytes(file, offset, offset + length);
    },
  };
}

async function openEntry(file: Source, entry: ZipEntry, damaged: (error: unknown) => InputError): Promise<Source> {
  const name = `${file.name}: ${shorten(entry.name)}`;
  if (entry.encrypted) throw new InputError(`${name}: it is encrypted`);
  if (entry.compressionMethod !== stored && entry.compressionMethod !== deflated) {
    throw new InputError(`${name}: it is packed with method ${entry.compressionMethod}; only deflate can be read`);
  }
  const { crc32: checksum, relativeOffsetOfLocalHeader: offset } = directoryEntry(entry);
  if (entry.compressionMethod === deflated) return inflatedSource(name, entry, checksum, damaged);
  const header = await readBytes(file, offset, Math.min(offset + localHeaderBytes, file.byteLength));
  if (header.length < localHeaderBytes || !localSignature.every((byte, i) => header[i] === byte)) {
    throw new Error("an entry has no header");
  }
  const view = new DataView(header.buffer);
  const begin = offset + localHeaderBytes + view.getUint16(26, true) + view.getUint16(28, true);
  if (!(begin + entry.size <= file.byteLength)) throw new Error("an entry reaches beyond the file");
  const fill = async (into: Uint8Array<ArrayBuffer>, start: number) => fillBytes(file, into, begin + start);
  const source = {
    name,
    byteLength: entry.size,
    fill,
    slice: (start: number, end: number) => file.slice(begin + start, begin + end),
  };
  await checkStored(source, checksum);
  return source;
}

/** The directory's facts about an entry, which the library keeps to itself. */
function directoryEntry(entry: ZipEntry): { crc32: number; relativeOffsetOfLocalHeader: number } {
  const { _rawEntry } = entry as unknown as { _rawEntry: { crc32: number; relativeOffsetOfLocalHeader: number } };
  return _rawEntry;
}

/** Throws `InputError` if the bytes of a stored entry are not those that were packed. */
async function checkStored(source: Source, checksum: number): Promise<void> {
  const buffer = new Uint8Array(Math.min(pieceBytes, source.byteLength));
  let computed = 0;
  for (let offset = 0; offset < source.byteLength; offset += pieceBytes) {
    const piece = buffer.subarray(0, source.byteLength - offset);
    await fillBytes(source, piece, offset);
    computed = crc32(piece, computed);
  }
  checkChecksum(source.name, computed, checksum);
}

function checkChecksum(name: string, computed: number, checksum: number): void {
  if (computed === checksum) return;
  throw new InputError(
    `${name}: damaged: its bytes do not have the checksum that the archive states; copy the file again`,
  );
}

let checksumTable: Int32Array | null = null;

function crc32(bytes: Uint8Array, previous: number): number {
  return (platform().crc32 ?? plainCrc32)(bytes, previous);
}

/** Returns the CRC-32 (IEEE 802.3) of `bytes` after those with the checksum `previous`. */
export function plainCrc32(bytes: Uint8Array, previous: number): number {
  checksumTable ??= Int32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xed_b8_83_20 : value >>> 1;
    return value;
  });
  let value = ~previous;
  for (const byte of bytes) value = checksumTable[(value ^ byte) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
}

/** Bytes from the front to the back of an entry, inflated on the way. Memory holds one piece. */
function inflatedSource(
  name: string,
  entry: ZipEntry,
  checksum: number,
  damaged: (error: unknown) => InputError,
): Source {
  let stream: ReadableStreamDefaultReader<Uint8Array> | null = null;
  let piece = new Uint8Array(0);
  /** Place of the piece in the entry. */
  let offset = 0;
  let computed = 0;

  async function advance(): Promise<void> {
    stream ??= (await entry.stream()).getReader();
    const { value, done } = await stream.read();
    if (done) throw new InputError(`${name}: truncated: it ends at byte ${offset + piece.length} of ${entry.size}`);
    offset += piece.length;
    piece = value as Uint8Array<ArrayBuffer>;
    computed = crc32(piece, computed);
    if (offset + piece.length === entry.size) checkChecksum(name, computed, checksum);
  }

  async function rewind(): Promise<void> {
    await stream?.cancel();
    stream = null;
    piece = new Uint8Array(0);
    offset = 0;
    computed = 0;
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
