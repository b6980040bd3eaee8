import { InputError } from "../input-error.ts";
import { fillBytes, type Source } from "../source.ts";

const pieceBytes = 1 << 18;
/** Maximum bytes of one line, and of a JSON document that is not one line per record. */
const maxLineBytes = 1 << 27;

/** A line of a text file. */
export interface Line {
  readonly text: string;
  /** Counted from 1. */
  readonly number: number;
}

/** Yields the lines of a UTF-8 text file. Memory holds one line. Throws `InputError` for a line of more than 128 MiB. */
export async function* linesOf(file: Source): AsyncGenerator<Line> {
  const decoder = new TextDecoder("utf-8");
  const buffer = new Uint8Array(Math.min(pieceBytes, file.byteLength));
  let pending: string[] = [];
  let held = 0;
  let number = 1;
  for (let offset = 0; offset < file.byteLength; offset += pieceBytes) {
    const read = buffer.subarray(0, file.byteLength - offset);
    await fillBytes(file, read, offset);
    const lines = decoder.decode(read, { stream: offset + pieceBytes < file.byteLength }).split("\n");
    for (const [i, text] of lines.entries()) {
      pending.push(text);
      held += text.length;
      if (held > maxLineBytes) {
        throw new InputError(`${file.name}: line ${number} has more than ${maxLineBytes} characters`);
      }
      if (i === lines.length - 1) break;
      yield { text: pending.join(""), number: number++ };
      pending = [];
      held = 0;
    }
  }
  if (held > 0) yield { text: pending.join(""), number };
}

/** Throws `InputError` for text that is no JSON. What the text is remains unsaid: it may be a prompt. */
function parse(file: string, place: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InputError(`${file}: ${place} is truncated or malformed JSON`);
  }
}

/**
 * Yields the documents of a JSON file: one per line, or all of the file if its first line is not one. Memory holds one.
 * Throws `InputError` if one is malformed.
 */
export async function* jsonDocuments(file: Source): AsyncGenerator<{ value: unknown; line: number }> {
  let isFirst = true;
  for await (const { text, number } of linesOf(file)) {
    if (text.trim() === "") continue;
    if (isFirst && !isDocument(text)) break;
    isFirst = false;
    yield { value: parse(file.name, `line ${number}`, text), line: number };
  }
  if (!isFirst) return;
  if (file.byteLength > maxLineBytes) {
    throw new InputError(`${file.name}: a JSON document of ${file.byteLength} bytes; the maximum is ${maxLineBytes}`);
  }
  const whole: string[] = [];
  for await (const { text } of linesOf(file)) whole.push(text);
  yield { value: parse(file.name, "the file", whole.join("\n")), line: 1 };
}

function isDocument(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
