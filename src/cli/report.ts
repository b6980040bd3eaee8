import { writeFileSync } from "node:fs";
import path from "node:path";
import type { CommandModule } from "yargs";
import { escapeUnprintableInLines } from "../core/escape-unprintable.ts";
import { pageFile } from "../report/page-file.ts";
import type { Picture } from "../report/pictures/picture.ts";
import { type ThemeName, themes } from "../report/pictures/theme.ts";
import { printable } from "../report/printable.ts";
import { openResults } from "../report/results/results.ts";
import { type CommonArguments, optionGroups, outOption } from "./common-options.ts";
import { epilogue, examples } from "./help.ts";
import { checkTarget, filesOfResults, type ReadFile } from "./kept-files.ts";
import { printJson } from "./terminal.ts";
import { withOutputFile } from "./with-output-file.ts";
import { withOutputFolder } from "./with-output-folder.ts";

/** Pixels of a PNG for one of the picture: sharp on paper and on dense screens. */
const pngScale = 2;

interface ReportArguments extends CommonArguments {
  folder: string;
  out?: string | undefined;
  svg?: string | undefined;
  png?: string | undefined;
  theme: ThemeName;
}

export const reportCommand: CommandModule<CommonArguments, ReportArguments> = {
  builder: (yargs) =>
    yargs
      .positional("folder", { type: "string", demandOption: true, describe: "Folder with summary.csv" })
      .option("out", {
        ...outOption,
        describe: "The page, one file that needs no other",
        defaultDescription: `<folder>/${pageFile}`,
      })
      .option("svg", { ...outOption, describe: "Folder for the pictures as SVG" })
      .option("png", { ...outOption, describe: "Folder for the pictures as PNG" })
      .option("theme", {
        group: optionGroups.output,
        choices: Object.keys(themes) as ThemeName[],
        requiresArg: true,
        default: "light" as const,
        describe: "Colours of SVG and PNG; the page has both",
      })
      .example(
        examples({
          "Write results/collapse/report.html": "$0 report results/collapse",
          "The pictures by themselves, too": "$0 report results/collapse --svg pictures --png pictures --theme dark",
        }),
      )
      .epilogue(epilogue()),
  handler: report,
};

/** A picture, and where it was written besides the page. */
interface WrittenPicture {
  readonly id: string;
  readonly title: string;
  readonly finding: string;
  readonly svg?: string;
  readonly png?: string;
}

async function report(options: ReportArguments): Promise<void> {
  const { folder, svg, png } = options;
  const results = openResults(folder);
  const out = options.out ?? path.join(folder, pageFile);
  checkTarget("out", out, filesOfResults(folder));
  // None of what draws is needed by another command, and loading it takes time.
  const { readReportData } = await import("../report/pictures/report-data.ts");
  const { drawPictures } = await import("../report/pictures/index.ts");
  const { renderReport } = await import("../report/html/report-page.tsx");
  const data = await readReportData(results);
  const pictures = drawPictures(data);
  const written = pictures.map(
    ({ id, title, finding }): WrittenPicture => ({
      id,
      title,
      finding,
      ...(svg !== undefined && { svg: path.join(svg, `${id}.svg`) }),
      ...(png !== undefined && { png: path.join(png, `${id}.png`) }),
    }),
  );
  checkTarget("out", out, written.flatMap(filesOfPicture));
  const page = renderReport(data, pictures);
  const images = svg === undefined && png === undefined ? [] : await renderImages(pictures, options);

  await withOutputFile(out, async (file) => {
    await writeImages(svg, images, "svg");
    await writeImages(png, images, "png");
    writeFileSync(file, page);
  });

  if (options.json) printJson({ out, pictures: written });
  else if (!options.quiet) process.stdout.write(reportText(results.name, [out, svg, png], written));
}

/** The files that are written for a picture, as what the page must not replace. */
function filesOfPicture(picture: WrittenPicture): ReadFile[] {
  return (["svg", "png"] as const).flatMap((format) => {
    const file = picture[format];
    return file === undefined ? [] : [{ name: `the picture ${picture.id} of --${format}`, file }];
  });
}

interface Image {
  readonly id: string;
  readonly svg: string;
  readonly png: Buffer | null;
}

async function renderImages(pictures: readonly Picture[], { png, theme }: ReportArguments): Promise<Image[]> {
  // Loading ECharts takes longer than all else that the program loads, and no other command needs it.
  const { renderPng, renderSvg } = await import("../report/pictures/render.ts");
  return pictures.map((picture) => {
    const svg = renderSvg(picture, themes[theme]);
    return { id: picture.id, svg, png: png === undefined ? null : renderPng(svg, pngScale) };
  });
}

async function writeImages(folder: string | undefined, images: readonly Image[], format: "svg" | "png"): Promise<void> {
  if (folder === undefined) return;
  await withOutputFolder(folder, async (partial) => {
    for (const image of images) writeFileSync(path.join(partial, `${image.id}.${format}`), image[format]!);
  });
}

function reportText(
  name: string,
  places: readonly (string | undefined)[],
  pictures: readonly WrittenPicture[],
): string {
  const findings = pictures.map(({ title, finding }) => `${title}: ${finding}\n`);
  const written = Array.from(new Set(places.filter((place) => place !== undefined)));
  const text = `${printable(name)}\n\n${findings.join("")}\nWritten to ${written.join(", ")}\n`;
  return escapeUnprintableInLines(text);
}
