import { createHash, type Hash } from "node:crypto";
import { closeSync, createReadStream, fstatSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip, gunzipSync, gzipSync } from "node:zlib";
import { sum } from "d3-array";
import type { Redis } from "ioredis";
import { InputError } from "../../core/input-error.ts";
import { openRegularFile } from "../files/input-file.ts";
import { keptSeconds, type SentFile } from "./messages.ts";

/** Memory holds one chunk, whatever the size of the files. */
const chunkBytes = 1 << 20;
/** Files that have no more together are sent and received at once: the streams would take longer than their bytes. */
const smallBytes = 1 << 20;
/** The fastest: on most networks the time to compress counts more than the last tenth of the size. */
const level = 1;

/** What {@link sendFiles} sent. */
export interface Sent {
  readonly files: SentFile[];
  readonly chunks: number;
}

/**
 * Sends files, by the names that the receiver gives them, as chunks of one gzip stream, to the list `key` of the server, where
 * they stay for a week. Throws `InputError` if a file cannot be read.
 */
export async function sendFiles(
  client: Redis,
  key: string,
  places: readonly { readonly name: string; readonly file: string }[],
): Promise<Sent> {
  const small = readSmall(places.map(({ file }) => file));
  if (small !== null) {
    // Neither waits for the other's reply.
    await Promise.all([client.rpush(key, gzipSync(Buffer.concat(small), { level })), client.expire(key, keptSeconds)]);
    const files = small.map((bytes, place) => ({
      name: places[place].name,
      bytes: bytes.length,
      sha256: digest(bytes),
    }));
    return { files, chunks: 1 };
  }
  const files: SentFile[] = [];
  async function* bytesOfAll(): AsyncGenerator<Buffer> {
    for (const { name, file } of places) {
      const hash = createHash("sha256");
      let bytes = 0;
      for await (const piece of createReadStream("", { fd: openRegularFile(file) })) {
        hash.update(piece);
        bytes += piece.length;
        yield piece;
      }
      files.push({ name, bytes, sha256: hash.digest("hex") });
    }
  }
  let chunks = 0;
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  const push = async () => {
    await client.rpush(key, Buffer.concat(pending));
    chunks += 1;
    pending = [];
    pendingBytes = 0;
  };
  await pipeline(bytesOfAll, createGzip({ level }), async (compressed: AsyncIterable<Buffer>) => {
    for await (const piece of compressed) {
      pending.push(piece);
      pendingBytes += piece.length;
      if (pendingBytes >= chunkBytes) await push();
    }
  });
  if (pendingBytes > 0) await push();
  await client.expire(key, keptSeconds);
  return { files, chunks };
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The bytes of each file; null if all together have more than `smallBytes`. */
function readSmall(files: readonly string[]): Buffer[] | null {
  const all: Buffer[] = [];
  let left = smallBytes;
  for (const file of files) {
    const descriptor = openRegularFile(file);
    try {
      left -= fstatSync(descriptor).size;
      if (left < 0) return null;
      all.push(readFileSync(descriptor));
    } finally {
      closeSync(descriptor);
    }
  }
  return all;
}

/**
 * Receives the files of the list `key` into `folder`, by their names. Throws `InputError` if chunks are missing or damaged, or
 * the bytes are not those listed: nothing longer than listed is ever written.
 */
export async function receiveFiles(client: Redis, key: string, { files, chunks }: Sent, folder: string): Promise<void> {
  const gone = () => new InputError(`the queue no longer has the files ${files[0].name} …`);
  async function* chunksOf(): AsyncGenerator<Buffer> {
    for (let chunk = 0; chunk < chunks; chunk++) {
      const bytes = await client.lindexBuffer(key, chunk);
      if (bytes === null) throw gone();
      yield bytes;
    }
  }
  const wrong = () => new InputError(`the files ${files[0].name} … did not arrive from the queue as they were sent`);
  const total = sum(files, ({ bytes }) => bytes);
  if (chunks === 1 && total <= smallBytes) {
    const bytes = await client.lindexBuffer(key, 0);
    if (bytes === null) throw gone();
    mkdirSync(folder, { recursive: true });
    let unpacked: Buffer;
    try {
      unpacked = gunzipSync(bytes, { maxOutputLength: Math.max(1, total) });
    } catch (error) {
      throw isDamage(error) ? wrong() : error;
    }
    if (unpacked.length !== total) throw wrong();
    let from = 0;
    for (const { name, bytes: length, sha256 } of files) {
      const own = unpacked.subarray(from, from + length);
      if (digest(own) !== sha256) throw wrong();
      writeFileSync(path.join(folder, name), own, { flag: "wx" });
      from += length;
    }
    return;
  }
  await mkdir(folder, { recursive: true });
  const waiting = Array.from(files);
  /** Ends `file` if it is complete, and returns the one that the next bytes go to; null after the last. */
  const advance = async (file: OpenFile | null): Promise<OpenFile | null> => {
    let now = file;
    while (now === null || now.left === 0) {
      if (now !== null) {
        await now.handle.close();
        if (now.hash.digest("hex") !== now.sent.sha256) throw wrong();
      }
      const sent = waiting.shift();
      if (sent === undefined) return null;
      const handle = await open(path.join(folder, sent.name), "wx");
      now = { sent, handle, hash: createHash("sha256"), left: sent.bytes };
    }
    return now;
  };
  let current: OpenFile | null = null;
  try {
    current = await advance(null);
    await pipeline(chunksOf, createGunzip(), async (pieces: AsyncIterable<Buffer>) => {
      for await (const piece of pieces) {
        for (let from = 0; from < piece.length; ) {
          if (current === null) throw wrong();
          const part = piece.subarray(from, from + current.left);
          await current.handle.writeFile(part);
          current.hash.update(part);
          current.left -= part.length;
          from += part.length;
          current = await advance(current);
        }
      }
    });
    if (current !== null) throw wrong();
  } catch (error) {
    if (isDamage(error)) throw wrong();
    throw error;
  } finally {
    await current?.handle.close();
  }
}

/** A file that is being received. */
interface OpenFile {
  readonly sent: SentFile;
  readonly handle: FileHandle;
  readonly hash: Hash;
  /** Bytes still to come. */
  left: number;
}

/** Whether `error` is one of zlib's about damaged bytes. */
function isDamage(error: unknown): boolean {
  return /^Z_|ERR_BUFFER_TOO_LARGE/.test((error as NodeJS.ErrnoException | null)?.code ?? "");
}
