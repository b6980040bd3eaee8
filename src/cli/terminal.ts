import pc from "picocolors";
import type { Colors } from "picocolors/types.js";
import wrapAnsi from "wrap-ansi";
import type { Recording } from "../core/formats/recording.ts";
import type { Scenario } from "../core/scenario/scenario.ts";
import { counted, escapeUnprintable, escapeUnprintableInLines, rangesText } from "../core/words.ts";

/** Returns the colours for `stream`: none unless it is a terminal that has them, and none if NO_COLOR is set (no-color.org). */
export function colorsOf(stream: NodeJS.WriteStream): Colors {
  const { NO_COLOR: noColor = "", TERM: terminal } = process.env;
  return pc.createColors(stream.isTTY === true && noColor === "" && terminal !== "dumb");
}

/** Columns of a terminal that does not report its width. */
const usualColumns = 80;

/** Returns the columns of `stream`; infinite if it is not a terminal. */
export function columnsOf(stream: NodeJS.WriteStream): number {
  if (stream.isTTY !== true) return Number.POSITIVE_INFINITY;
  return stream.columns > 0 ? stream.columns : usualColumns;
}

/** The colours and width of a table. */
export interface TableStyle {
  readonly colors: Colors;
  /** In characters; infinite if nothing limits it. */
  readonly width: number;
}

/**
 * Returns the style of a table on standard output: coloured and as wide as the terminal, or plain and unlimited if it is not a
 * terminal. `wide` lifts the limit.
 */
export function tableStyle(wide = false): TableStyle {
  return { colors: colorsOf(process.stdout), width: wide ? Number.POSITIVE_INFINITY : columnsOf(process.stdout) };
}

/** Wraps lines of `text` longer than `columns` between words, each part indented like its line. */
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

/** Writes `text` and a line feed to `stream`, wrapped to its terminal. */
export function writeLines(stream: NodeJS.WriteStream, text: string): void {
  stream.write(`${wrapLines(text, columnsOf(stream))}\n`);
}

/** What files are taken for, in one line, and sentences about what was left out or assumed. */
export type TakenFor = Pick<Recording, "description" | "notes">;

/** Prints what files are taken for. */
export function sayTakenFor({ description, notes }: TakenFor, stream: NodeJS.WriteStream = process.stdout): void {
  for (const line of [`Taken for: ${description}`, ...notes]) writeLines(stream, escapeUnprintable(line));
}

/** Prints a warning on standard error: something may differ from what the user expects. */
export function warn(message: string): void {
  writeLines(process.stderr, `${colorsOf(process.stderr).yellow("warning:")} ${escapeUnprintable(message)}`);
}

/** Prints the one JSON value of a command with `--json`. */
export function printJson(value: object): void {
  process.stdout.write(`${escapeUnprintableInLines(JSON.stringify(value, null, 2))}\n`);
}

/** Describes the size of a stream: `10 steps of 512 tokens, 16 experts`. */
export function sizesText(steps: number, tokens: number, experts: number): string {
  return `${counted(steps, "step")} of ${counted(tokens, "token")}, ${counted(experts, "expert")}`;
}

/** Describes the layers of a scenario, for what comes before its sizes: `26 layers (1-26), `; empty if it has only one. */
export function layersText({ layers = [] }: Pick<Scenario, "layers">): string {
  return layers.length > 1 ? `${counted(layers.length, "layer")} (${rangesText(layers)}), ` : "";
}

/**
 * Says which layers of a recording are absent: those without logits, and those `silent` ones in which no expert got a
 * token; nothing if none is.
 */
export function absentSentences(
  { absentLayers = [] }: Pick<Scenario, "absentLayers">,
  silent: readonly number[] = [],
): string[] {
  const sentence = (layers: readonly number[], [one, several]: readonly [string, string]) =>
    layers.length === 0
      ? []
      : [
          `${layers.length === 1 ? "Layer" : "Layers"} ${rangesText(layers)} ${layers.length === 1 ? one : several}: ` +
            "absent, and in no mean.",
        ];
  return [
    ...sentence(absentLayers, ["has no logits", "have no logits"]),
    ...sentence(silent, ["sends no token to any expert", "send no token to any expert"]),
  ];
}
