// Writes what is known when the program is built as constants of the core, which reads no files: the version, and the widths
// of the characters of the fonts that pictures are drawn in. Both files are kept in the repository, so that types can be
// checked before anything is built. With --check nothing is written, and files that are not current are a failure.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openSync } from "fontkit";

const root = new URL("../../", import.meta.url);
const note = "Written by `npm run build:constants`.";
const files = { "src/core/version.ts": versionFile(), "src/core/pictures/parts/glyph-widths.ts": widthsFile() };

for (const [file, text] of Object.entries(files)) {
  if (!process.argv.includes("--check")) writeFileSync(new URL(file, root), text);
  else if (readFileSync(new URL(file, root), "utf8") !== text) {
    process.stderr.write(`${file} is not current; npm run build:constants writes it\n`);
    process.exitCode = 1;
  }
}

function versionFile() {
  const { version } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));
  return `/** Version of this program, from package.json. ${note} */\nexport const version = ${JSON.stringify(version)};\n`;
}

function widthsFile() {
  const [regular, bold] = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"].map((name) =>
    openSync(fileURLToPath(new URL(`node_modules/dejavu-fonts-ttf/ttf/${name}`, root))),
  );
  const lines = [
    `// ${note} Runs of characters of one width, "first:width", each to the next; numbers in base 36, the first`,
    "// counted from the one before. Widths are in units of the font, of which the size of the font has `unitsPerEm`.",
    `export const unitsPerEm = ${regular.unitsPerEm};`,
    `export const regularWidths =\n  "${runsOf(regular, bold)}";`,
    `export const boldWidths =\n  "${runsOf(bold, regular)}";`,
  ];
  return `${lines.join("\n")}\n`;
}

/** The widths of all characters in `font`, or in `other` where `font` lacks one, or of the box that stands for the rest. */
function runsOf(font, other) {
  const missing = font.getGlyph(0).advanceWidth;
  const last = Math.max(...font.characterSet, ...other.characterSet);
  const runs = [];
  let width = null;
  let first = 0;
  for (let point = 0; point <= last + 1; point++) {
    const now = widthOf(font, other, point) ?? missing;
    if (now === width) continue;
    runs.push(`${(point - first).toString(36)}:${now.toString(36)}`);
    width = now;
    first = point;
  }
  return runs.join(" ");
}

function widthOf(font, other, point) {
  const character = String.fromCodePoint(point);
  if (/\p{Default_Ignorable_Code_Point}/u.test(character)) return 0;
  for (const one of [font, other]) {
    if (one.hasGlyphForCodePoint(point)) return one.glyphForCodePoint(point).advanceWidth;
  }
  // A mark that the fonts lack is drawn over what it belongs to.
  return /\p{M}/u.test(character) ? 0 : null;
}
