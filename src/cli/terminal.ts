import pc from "picocolors";
import type { Colors } from "picocolors/types.js";
import wrapAnsi from "wrap-ansi";
import { escapeUnprintable, escapeUnprintableInLines } from "../core/escape-unprintable.ts";

/**
 * The colours for what is written to `stream`: none unless it is a terminal that has them, and none where NO_COLOR asks
 * for that (no-color.org).
 */
export function colorsOf(stream: NodeJS.WriteStream): Colors {
  const { NO_COLOR: noColor = "", TERM: terminal } = process.env;
  return pc.createColors(stream.isTTY === true && noColor === "" && terminal !== "dumb");
}

/** Characters a line of a terminal that does not tell how many it has. */
const usualColumns = 80;

/** Characters that fit on a line of `stream`; infinite where it is no terminal. */
export function columnsOf(stream: NodeJS.WriteStream): number {
  if (stream.isTTY !== true) return Number.POSITIVE_INFINITY;
  return stream.columns > 0 ? stream.columns : usualColumns;
}

/** How a table may look. */
export interface TableStyle {
  readonly colors: Colors;
  /** Characters; infinite where nothing limits it. */
  readonly width: number;
}

/**
 * How a table may look on standard output: coloured and as wide as the terminal, or neither if it is no terminal.
 * `wide` lifts the limit.
 */
export function tableStyle(wide = false): TableStyle {
  return { colors: colorsOf(process.stdout), width: wide ? Number.POSITIVE_INFINITY : columnsOf(process.stdout) };
}

/** `text` with lines too long for a terminal of `columns` broken between words, each part indented as its line is. */
export function wrapLines(text: string, columns: number): string {
  if (!Number.isFinite(columns)) return text;
  return text
    .split("\n")
    .map((line) => {
      const [indent] = /^ */.exec(line)!;
      const parts = wrapAnsi(line.slice(indent.length), Math.max(1, columns - indent.length)).split("\n");
      return parts.map((part) => indent + part).join("\n");
    })
    .join("\n");
}

/** Writes `text` and a line feed to `stream`, with lines that do not fit its terminal broken between words. */
export function writeLines(stream: NodeJS.WriteStream, text: string): void {
  stream.write(`${wrapLines(text, columnsOf(stream))}\n`);
}

/** Writes a warning to standard error: something may not be as the user expects. */
export function warn(message: string): void {
  writeLines(process.stderr, `${colorsOf(process.stderr).yellow("warning:")} ${escapeUnprintable(message)}`);
}

/** Writes the one JSON value that a command with `--json` prints. */
export function printJson(value: object): void {
  process.stdout.write(`${escapeUnprintableInLines(JSON.stringify(value, null, 2))}\n`);
}
