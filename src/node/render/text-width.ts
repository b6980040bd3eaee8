import { fileURLToPath } from "node:url";
import { Resvg, type ResvgRenderOptions } from "@resvg/resvg-js";
import { drawnName } from "../../core/pictures/parts/text.ts";

/** DejaVu Sans, which `npm run build` puts into `build/`. */
export const fontFiles = { regular: fontFile("DejaVuSans.ttf"), bold: fontFile("DejaVuSans-Bold.ttf") } as const;

/** What the program brings along, and nothing that a machine has: pictures are the same everywhere. */
export const pictureFont = {
  loadSystemFonts: false,
  fontFiles: Object.values(fontFiles),
  defaultFontFamily: "DejaVu Sans",
} as const satisfies ResvgRenderOptions["font"];

const measuredSize = 100;
const widths = new Map<string, number>();

/**
 * The pixels that `text` takes in DejaVu Sans at `size` pixels, as the sum of its characters: kerning, which is not in
 * it, makes it narrower by a hundredth or so.
 */
export function textWidth(text: string, size: number, isBold = false): number {
  let width = 0;
  for (const character of text) width += characterWidth(character, isBold);
  return width * size;
}

/** Per pixel of the font's size. */
function characterWidth(character: string, isBold: boolean): number {
  const key = `${isBold} ${character}`;
  let width = widths.get(key);
  if (width === undefined) {
    // Between two others, since the box around a drawing leaves out a space and the air beside a letter; and without
    // kerning, since these two would come closer to some.
    width = (drawnWidth(`x${drawnName(character)}x`, isBold) - drawnWidth("xx", isBold)) / measuredSize;
    widths.set(key, width);
  }
  return width;
}

function drawnWidth(text: string, isBold: boolean): number {
  const escaped = Array.from(text, (character) => `&#${character.codePointAt(0)};`).join("");
  const weight = isBold ? ` font-weight="bold"` : "";
  const svg = `<svg xmlns="http://www.w3.org/2000/svg"><text font-family="DejaVu Sans" font-size="${measuredSize}"${weight} style="font-kerning:none">${escaped}</text></svg>`;
  return new Resvg(svg, { font: pictureFont }).getBBox()?.width ?? 0;
}

function fontFile(name: string): string {
  return fileURLToPath(new URL(`../../../build/fonts/${name}`, import.meta.url));
}
