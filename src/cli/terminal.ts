import pc from "picocolors";
import type { Colors } from "picocolors/types.js";
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

/** How a table may look on standard output: coloured and as wide as the terminal, or neither where it is no terminal. */
export function tableStyle(): TableStyle {
  return { colors: colorsOf(process.stdout), width: columnsOf(process.stdout) };
}

/** Writes a warning to standard error. */
export function warn(message: string): void {
  process.stderr.write(`${colorsOf(process.stderr).yellow("warning:")} ${escapeUnprintable(message)}\n`);
}

/** Writes the one JSON value that a command with `--json` prints. */
export function printJson(value: object): void {
  process.stdout.write(`${escapeUnprintableInLines(JSON.stringify(value, null, 2))}\n`);
}
