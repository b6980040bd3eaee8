import { bisectRight, max } from "d3-array";
import { boldWidths, regularWidths, unitsPerEm } from "./glyph-widths.ts";

const digits = 5;
const digitsInWords = 3;

/** Rounds a number of a picture to slightly more digits than a pixel shows, since pages hold many of them. */
export function rounded(value: number): number {
  return Number(value.toPrecision(digits));
}

/** Control characters (including line breaks), those not allowed in XML, and those that change the text direction. */
const undrawable = /[\p{Cc}\p{Cs}\p{Bidi_Control}\uFFFE\uFFFF]+/gu;

/**
 * ECharts caches text widths by the text itself. This one name would find and change the prototype of all objects; an
 * invisible word joiner makes it another name.
 */
const prototypeName = "__proto__";
const wordJoiner = "\u2060";

/** Returns a router's name for pictures: on one line, whatever the scenario calls it. */
export function drawnName(name: string): string {
  return name === prototypeName ? `${name}${wordJoiner}` : name.replace(undrawable, " ");
}

/** Returns a phrase as a title. */
export function capitalized(phrase: string): string {
  return phrase.charAt(0).toUpperCase() + phrase.slice(1);
}

/** Formats a number for a sentence. */
export function inWords(value: number): string {
  return String(Number(value.toPrecision(digitsInWords))).replace("-", "−");
}

/** Widths of characters: those from `first[i]` up to `first[i + 1]` have `width[i]`. */
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
 * Returns the pixels that `text` takes in DejaVu Sans at `size` pixels, as the sum of its characters; kerning, which is
 * not included, makes it narrower by about a hundredth. Characters missing from the font are as wide as the box drawn
 * for them.
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

/** Font size in pixels. */
export const rowNameSize = 12;
/** Room in pixels for a router with its cell's parameters. */
const longestName = 420;
/** Maximum fraction of the picture's width. */
const longestShare = 0.44;
/** Pages may fall back to a font that is a little wider. */
const spare = 12;

/**
 * Returns the width in pixels of a column of `names` beside the rows of a picture `pictureWidth` wide; longer names are
 * cut.
 */
export function rowNameWidth(names: readonly string[], pictureWidth: number): number {
  const longest = max(names, (name) => textWidth(name, rowNameSize)) ?? 0;
  return Math.min(longestName, Math.floor(longestShare * pictureWidth), Math.ceil(longest) + spare);
}
