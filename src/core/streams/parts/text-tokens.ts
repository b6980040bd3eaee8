import { InputError } from "../../input-error.ts";
import { platform } from "../../platform.ts";
import { closeOnError, readBytes, type Source } from "../../source.ts";

/** Units that a text can be cut into. */
export const textUnits = ["words", "bytes"] as const;
export type TextUnit = (typeof textUnits)[number];

/** A text as a sequence of token ids. */
export interface TextTokens {
  /** In the order of the text. An id is the token's rank by frequency, 0 the most frequent, ties by first appearance. */
  readonly ids: Uint32Array;
  /** Number of distinct tokens; every id is below it. */
  readonly distinct: number;
}

/** Maximum size in bytes. A larger text could not be held as one string and one list of ids. */
const largestText = 2 ** 28;

/**
 * Reads the text file at `path`, relative to `folder`, once. `words` are runs of letters, marks and digits, and each
 * other visible character on its own, in UTF-8; case matters. Throws `InputError`, naming the path, if the file is
 * missing, unreadable, larger than 256 MiB, not UTF-8 (`words` only) or has no tokens.
 */
export async function readTextTokens(path: string, folder: string, unit: TextUnit): Promise<TextTokens> {
  const file = await openText(path, folder);
  const bytes = await closeOnError(file, () => readBytes(file, 0, file.byteLength));
  await file.close?.();
  const firstSeen = unit === "bytes" ? numberBytes(bytes) : numberWords(decodeText(bytes, file.name));
  if (firstSeen.ids.length === 0) {
    throw new InputError(`${file.name}: contains no ${unit}; at least one is needed`);
  }
  return rankByFrequency(firstSeen);
}

/** Throws those `InputError`s of {@link readTextTokens} that do not require reading the text. */
export async function checkTextFile(path: string, folder: string): Promise<void> {
  const file = await openText(path, folder);
  await file.close?.();
  if (file.byteLength === 0) throw new InputError(`${file.name}: the file is empty; at least one token is needed`);
}

async function openText(path: string, folder: string): Promise<Source> {
  const file = await platform().open(path, folder);
  if (file.byteLength <= largestText) return file;
  await file.close?.();
  throw new InputError(`${file.name}: the file has ${file.byteLength} bytes; the maximum is ${largestText}`);
}

function decodeText(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new InputError(`${file}: not UTF-8 text; use unit: bytes, which takes any file`, { cause });
  }
}

/** Ids in order of first appearance. */
function numberBytes(bytes: Uint8Array): TextTokens {
  const idOfByte = new Int32Array(256).fill(-1);
  let distinct = 0;
  const ids = Uint32Array.from(bytes, (byte) => {
    if (idOfByte[byte] < 0) idOfByte[byte] = distinct++;
    return idOfByte[byte];
  });
  return { ids, distinct };
}

/** Ids in order of first appearance. */
function numberWords(text: string): TextTokens {
  const idOfWord = new Map<string, number>();
  const ids: number[] = [];
  for (const [word] of text.matchAll(/[\p{L}\p{M}\p{N}]+|[^\p{L}\p{M}\p{N}\s]/gu)) {
    let id = idOfWord.get(word);
    if (id === undefined) {
      id = idOfWord.size;
      idOfWord.set(word, id);
    }
    ids.push(id);
  }
  return { ids: Uint32Array.from(ids), distinct: idOfWord.size };
}

function rankByFrequency({ ids, distinct }: TextTokens): TextTokens {
  const count = new Uint32Array(distinct);
  for (const id of ids) count[id] += 1;
  const byFrequency = Uint32Array.from(count.keys()).sort((a, b) => count[b] - count[a] || a - b);
  const rank = new Uint32Array(distinct);
  for (const [place, id] of byFrequency.entries()) rank[id] = place;
  return { ids: ids.map((id) => rank[id]), distinct };
}
