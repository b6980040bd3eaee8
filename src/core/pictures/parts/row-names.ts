import { max } from "d3-array";
import { textWidth } from "./text.ts";

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
