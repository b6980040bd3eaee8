import { writeFileSync } from "node:fs";
import path from "node:path";
import type { CommandModule } from "yargs";
import { InputError } from "../../core/input-error.ts";
import { type ThemeName, themes } from "../../core/pictures/parts/theme.ts";
import { type Picture, pictureWidth } from "../../core/pictures/picture.ts";
import { printable } from "../../core/results/format.ts";
import { type Results, stepMetrics } from "../../core/results/results.ts";
import { suggestion } from "../../core/suggestion.ts";
import { escapeUnprintableInLines } from "../../core/words.ts";
import { openResults } from "../../node/files/read-results.ts";
import { pageFile } from "../../node/files/results-folder.ts";
import { type CommonArguments, maxVioOption, optionGroups, outOption, positiveNumber } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { checkTarget, filesOfResults, type ReadFile, withOutputFile, withOutputFolder } from "../output.ts";
import { printJson } from "../terminal.ts";

/** Pixels of a PNG per pixel of the picture: sharp on paper and dense screens. */
const pngScale = 2;
/** Text size of the layout in CSS pixels; labels are a little smaller. */
const layoutFontSize = 12;
/** Narrower pictures have no room for their text; wider ones are a mistake. */
const layoutWidths = { least: 240, most: 4000 } as const;

const defaultTheme: ThemeName = "light";

const imageFormats = ["svg", "png", "pdf"] as const;
type ImageFormat = (typeof imageFormats)[number];

interface ReportArguments extends CommonArguments {
  folder: string;
  out?: string | undefined;
  svg?: string | undefined;
  png?: string | undefined;
  pdf?: string | undefined;
  picture?: string[] | undefined;
  metric?: string | undefined;
  width?: number | undefined;
  "font-size"?: number | undefined;
  "max-vio": number;
  theme?: ThemeName | undefined;
  "explore-url"?: string | undefined;
}

export const reportCommand: CommandModule<CommonArguments, ReportArguments> = {
  builder: (yargs) =>
    yargs
      .positional("folder", { type: "string", demandOption: true, describe: "Folder of results" })
      .option("out", {
        ...outOption,
        describe: "HTML file to write; it needs no other file",
        defaultDescription: `<folder>/${pageFile}`,
      })
      .option("svg", { ...outOption, describe: "Folder for the pictures as SVG" })
      .option("png", { ...outOption, describe: "Folder for the pictures as PNG" })
      .option("pdf", {
        ...outOption,
        describe: "Folder for the pictures as PDF, vector graphics for papers",
      })
      .option("picture", {
        type: "string",
        group: optionGroups.output,
        array: true,
        requiresArg: true,
        describe: "Write only these pictures as images, e.g. max-vio",
        defaultDescription: "all",
      })
      .option("metric", {
        type: "string",
        group: optionGroups.output,
        requiresArg: true,
        describe: "Column of steps.csv to draw instead of max_vio",
        defaultDescription: "max_vio",
      })
      .option("width", {
        type: "number",
        group: optionGroups.output,
        requiresArg: true,
        defaultDescription: String(pictureWidth),
        describe: "Width of images in CSS pixels (96 per inch; PNG: twice that)",
      })
      .option("font-size", {
        type: "number",
        group: optionGroups.output,
        requiresArg: true,
        defaultDescription: String(layoutFontSize),
        describe: "Text size of images in CSS pixels (4 px = 3 pt)",
      })
      .option("theme", {
        group: optionGroups.output,
        choices: Object.keys(themes) as ThemeName[],
        requiresArg: true,
        defaultDescription: defaultTheme,
        describe: "Colours of images; the page has both",
      })
      .option("max-vio", maxVioOption)
      .option("explore-url", {
        type: "string",
        group: optionGroups.output,
        requiresArg: true,
        describe: "Address of a copy of the explore page, for a link to this scenario",
      })
      .example(
        examples({
          "Write results/collapse/report.html": "$0 report results/collapse",
          "Also write the pictures as files": "$0 report results/collapse --svg pictures --png pictures --theme dark",
          "Write figures for a paper's column of 3.25 inches":
            "$0 report results/collapse --pdf figures --width 312 --font-size 10",
        }),
      )
      .epilogue(epilogue()),
  handler: report,
};

/** A picture, and the image files that it was written to. */
type WrittenPicture = Pick<Picture, "id" | "title" | "finding"> & { readonly [format in ImageFormat]?: string };

async function report(options: ReportArguments): Promise<void> {
  const { folder, metric } = options;
  const maxVioLimit = positiveNumber("max-vio", options["max-vio"]);
  const size = imageSize(options);
  const formats = imageFormats.filter((format) => options[format] !== undefined);
  if (formats.length === 0) checkNoImageOption(options);
  const exploreUrl = options["explore-url"] === undefined ? null : pageAddress(options["explore-url"]);
  const results = openResults(folder);
  const out = options.out ?? path.join(folder, pageFile);
  checkTarget("out", out, filesOfResults(folder));
  if (metric !== undefined) await checkMetric(results, metric);
  // Only this command draws, and loading what draws takes time.
  const { readReportData } = await import("../../core/pictures/parts/report-data.ts");
  const { drawPictures } = await import("../../core/pictures/index.ts");
  const { renderReport } = await import("../../page/report-page.tsx");
  const { exploreLinkOf } = await import("../../page/run-facts.tsx");
  const data = await readReportData(results, metric === undefined ? [] : [metric]);
  const pictures = drawPictures(data, pictureWidth, metric);
  if (metric !== undefined && !pictures.some(({ id }) => id === metric.replaceAll("_", "-"))) {
    throw new InputError(`--metric ${metric}: the column has no values in ${folder}; choose another`);
  }
  const chosen = choosePictures(pictures, options.picture);
  const written = pictures.map(({ id, title, finding }): WrittenPicture => {
    const files = formats.map((format) => [format, path.join(options[format]!, `${id}.${format}`)]);
    return { id, title, finding, ...(chosen.includes(id) && Object.fromEntries(files)) };
  });
  checkTarget("out", out, written.flatMap(filesOfPicture));
  const page = renderReport(data, pictures, maxVioLimit, exploreUrl && (await exploreLinkOf(results, exploreUrl)));
  const isDrawn = ({ id }: Picture) => formats.length > 0 && chosen.includes(id);
  const laidOut = size.layoutWidth === pictureWidth ? pictures : drawPictures(data, size.layoutWidth, metric);
  const images = await renderImages(laidOut.filter(isDrawn), formats, size, options.theme ?? defaultTheme);

  await withOutputFile(out, async (file) => {
    for (const format of formats) await writeImages(options[format]!, images, format);
    writeFileSync(file, page);
  });

  const places = [out, ...imageFormats.flatMap((format) => options[format] ?? [])];
  if (options.json) printJson({ out, pictures: written });
  else if (!options.quiet) process.stdout.write(reportText(results.name, places, written));
}

/** Returns the address of a page; throws `InputError` unless a browser would load one from there. */
function pageAddress(given: string): URL {
  const url = URL.canParse(given) ? new URL(given) : null;
  if (url !== null && ["http:", "https:"].includes(url.protocol)) return url;
  throw new InputError(
    `--explore-url ${printable(given)}: is no address of a page; give one such as https://host/explore/`,
  );
}

/** The size of images. */
interface ImageSize {
  /** Width of the layout in pixels, with text of {@link layoutFontSize}. */
  readonly layoutWidth: number;
  /** Pixels of the image per pixel of the layout. */
  readonly scale: number;
}

/** Throws `InputError` if an option is given that only images use. */
function checkNoImageOption(options: ReportArguments): void {
  const purposes = {
    picture: "chooses images",
    width: "sets the width of images",
    "font-size": "sets the text size of images",
    theme: "sets the colours of images",
  } as const;
  for (const name of Object.keys(purposes) as (keyof typeof purposes)[]) {
    if (options[name] === undefined) continue;
    throw new InputError(
      `--${name}: ${purposes[name]}, but none are written; name a folder for them with --svg, --png or --pdf`,
    );
  }
}

/** Returns the size of images; throws `InputError` if the text would be too large or too small for the width. */
function imageSize(options: ReportArguments): ImageSize {
  const width = positiveNumber("width", options.width ?? pictureWidth);
  const fontSize = positiveNumber("font-size", options["font-size"] ?? layoutFontSize);
  const scale = fontSize / layoutFontSize;
  const layoutWidth = Math.round(width / scale);
  const { least, most } = layoutWidths;
  if (layoutWidth >= least && layoutWidth <= most) return { layoutWidth, scale: width / layoutWidth };
  const [from, to] = [least, most].map((bound) => Math.ceil(bound * scale));
  throw new InputError(
    `--width ${width}: is not allowed with --font-size ${fontSize}; choose a width from ${from} to ${to}`,
  );
}

/** Throws `InputError` if steps.csv in `results` has no column `metric`. */
async function checkMetric(results: Results, metric: string): Promise<void> {
  const known = await stepMetrics(results);
  if (known.includes(metric)) return;
  throw new InputError(
    `--metric ${printable(metric)}: steps.csv has no such metric.${suggestion(metric, known)} Allowed: ${known.join(", ")}.`,
  );
}

/** Returns the ids of the pictures in `names`, by default of all. Throws `InputError` for an unknown name. */
function choosePictures(pictures: readonly Picture[], names: readonly string[] | undefined): string[] {
  const known = pictures.map(({ id }) => id);
  const unknown = names?.find((name) => !known.includes(name));
  if (unknown === undefined) return known.filter((id) => names?.includes(id) ?? true);
  throw new InputError(
    `--picture ${printable(unknown)}: the results have no such picture.${suggestion(unknown, known)} Allowed: ${known.join(", ")}.`,
  );
}

/** Lists the image files of a picture, which the page must not overwrite. */
function filesOfPicture(picture: WrittenPicture): ReadFile[] {
  return imageFormats.flatMap((format) => {
    const file = picture[format];
    return file === undefined ? [] : [{ name: `the picture ${picture.id} of --${format}`, file }];
  });
}

interface Image {
  readonly id: string;
  readonly files: ReadonlyMap<ImageFormat, string | Buffer>;
}

async function renderImages(
  pictures: readonly Picture[],
  formats: readonly ImageFormat[],
  { layoutWidth, scale }: ImageSize,
  theme: ThemeName,
): Promise<Image[]> {
  if (pictures.length === 0) return [];
  // Loading ECharts takes longer than loading the rest of the program, and no other command needs it.
  const { renderPdf, renderPng, renderSvg } = await import("../../node/render/render.ts");
  const images: Image[] = [];
  for (const picture of pictures) {
    const svg = renderSvg(picture, themes[theme], layoutWidth, scale);
    const files = new Map<ImageFormat, string | Buffer>();
    for (const format of formats) {
      if (format === "svg") files.set(format, svg);
      else files.set(format, format === "png" ? renderPng(svg, pngScale) : await renderPdf(svg, picture.title));
    }
    images.push({ id: picture.id, files });
  }
  return images;
}

async function writeImages(folder: string, images: readonly Image[], format: ImageFormat): Promise<void> {
  await withOutputFolder(folder, async (staging) => {
    for (const { id, files } of images) writeFileSync(path.join(staging.files, `${id}.${format}`), files.get(format)!);
  });
}

function reportText(name: string, places: readonly string[], pictures: readonly WrittenPicture[]): string {
  const findings = pictures.map(({ title, finding }) => `${title}: ${finding}\n`);
  const text = `${printable(name)}\n\n${findings.join("")}\nWritten to ${Array.from(new Set(places)).join(", ")}\n`;
  return escapeUnprintableInLines(text);
}
