import type { Picture } from "../core/pictures/picture.ts";

/** A router, or a variant of a sweep, that the page's script highlights in all pictures and tables at once. */
export interface PageRouter {
  /** As pictures write it. */
  readonly name: string;
  /** Whether it is in the list beside the contents, which has room for the featured ones. */
  readonly isListed: boolean;
  /** The token and the dash of its lines; null if pictures draw folders and not routers. */
  readonly color: string | null;
  readonly dash: string | null;
}

/** What the page's script is given. */
export interface PageData {
  readonly pictures: readonly Picture[];
  readonly routers: readonly PageRouter[];
}

const significantDigits = 6;
// What would end the script element or open a comment in it, and what older scripts took for the end of a line.
const unsafe = /[<\u2028\u2029]/g;

/**
 * `value` as JSON that can stand in a script element: it holds no `<`. Fractions are rounded to six significant digits,
 * which no eye tells from more in a picture; integers stay whole.
 */
export function embeddedJson(value: unknown): string {
  return JSON.stringify(value, (_, item) =>
    isFraction(item) ? Number(item.toPrecision(significantDigits)) : item,
  ).replace(unsafe, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function isFraction(item: unknown): item is number {
  return typeof item === "number" && !Number.isInteger(item);
}
