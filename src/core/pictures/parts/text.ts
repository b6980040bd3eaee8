import { bisectRight } from "d3-array";
import { boldWidths, regularWidths, unitsPerEm } from "./glyph-widths.ts";

const digits = 5;
const digitsInWords = 3;

/** A number of a picture, with more digits than a pixel shows and no more, since pages hold many of them. */
export function rounded(value: number): number {
  return Number(value.toPrecision(digits));
}

/**
 * Control characters, line breaks among them, those that no XML document may hold, and those that turn the direction of
 * the text around them.
 */
const undrawable = /[\p{Cc}\p{Cs}\p{Bidi_Control}\uFFFE\uFFFF]+/gu;

/**
 * The one name under which ECharts, which remembers how wide texts are by the texts themselves, would find and change the
 * prototype of all objects; with a word joiner, that nobody sees, it is another.
 */
const prototypeName = "__proto__";
const wordJoiner = "\u2060";

/** A router's name as pictures write it: on one line, whatever a scenario calls it. */
export function drawnName(name: string): string {
  return name === prototypeName ? `${name}${wordJoiner}` : name.replace(undrawable, " ");
}

/** A phrase as a title. */
export function capitalized(phrase: string): string {
  return phrase.charAt(0).toUpperCase() + phrase.slice(1);
}

/** A number in a sentence. */
export function inWords(value: number): string {
  return String(Number(value.toPrecision(digitsInWords))).replace("-", "−");
}

/** The widths of characters: those from `first[i]` to before `first[i + 1]` have `width[i]`. */
interface WidthTable {
  readonly first: Uint32Array;
  readonly width: Uint16Array;
}

const tables = new Map<string, WidthTable>();

function widthTable(runs: string): WidthTable {
  let table = tables.get(runs);
  if (table === undefined) {
    const pairs = runs.split(" ").map((run) => run.split(":").map((digits) => Number.parseInt(digits, 36)));
    let point = 0;
    table = {
      first: Uint32Array.from(pairs, ([gap]) => {
        point += gap;
        return point;
      }),
      width: Uint16Array.from(pairs, ([, width]) => width),
    };
    tables.set(runs, table);
  }
  return table;
}

/**
 * The pixels that `text` takes in DejaVu Sans at `size` pixels, as the sum of its characters: kerning, which is not in it,
 * makes it narrower by a hundredth or so. Characters that the font lacks are as wide as the box drawn for them.
 */
export function textWidth(text: string, size: number, isBold = false): number {
  const { first, width } = widthTable(isBold ? boldWidths : regularWidths);
  let units = 0;
  for (const character of text) {
    const point = drawnName(character).codePointAt(0)!;
    units += width[bisectRight(first, point) - 1];
  }
  return (units / unitsPerEm) * size;
}
