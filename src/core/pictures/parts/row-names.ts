import { max } from "d3-array";
import { textWidth } from "./text.ts";

/** Pixels of the font. */
export const rowNameSize = 12;
/** Room for a router with the parameters of its cell. */
const longestName = 420;
/** Of the picture at most. */
const longestShare = 0.44;
/** Pages may fall back to a font that is a little wider. */
const spare = 12;

/** The width in pixels of a column of `names` beside the rows of a picture `pictureWidth` pixels wide; longer ones are to be cut. */
export function rowNameWidth(names: readonly string[], pictureWidth: number): number {
  const longest = max(names, (name) => textWidth(name, rowNameSize)) ?? 0;
  return Math.min(longestName, Math.floor(longestShare * pictureWidth), Math.ceil(longest) + spare);
}
