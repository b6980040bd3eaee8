import { fileURLToPath } from "node:url";
import { Resvg } from "@resvg/resvg-js";
import type * as echarts from "echarts";
import { compactSvg } from "../../core/pictures/parts/compact-svg.ts";
import { textWidth } from "../../core/pictures/parts/text.ts";
import { chartOption, type Theme } from "../../core/pictures/parts/theme.ts";
import { type Picture, pictureWidth } from "../../core/pictures/picture.ts";

/** ECharts with what pictures are made of, as `npm run build` bundles it. */
type Charts = Pick<typeof echarts, "format" | "init" | "setPlatformAPI">;
const { format, init, setPlatformAPI }: Charts = await import(
  new URL("../../../build/charts.js", import.meta.url).href
);

// Without a browser ECharts guesses widths for a narrower font, and labels would overlap or be cut.
setPlatformAPI({
  measureText(text, font = "") {
    const size = Number(/([\d.]+)px/.exec(font)?.[1] ?? 12);
    return { width: textWidth(text, size, /\bbold\b/.test(font)) };
  },
});

/** DejaVu Sans, which `npm run build` puts into `build/`. */
const fontFiles = { regular: fontFile("DejaVuSans.ttf"), bold: fontFile("DejaVuSans-Bold.ttf") } as const;

/** What the program brings along, and nothing that a machine has: pictures are the same everywhere. */
const pictureFont = {
  loadSystemFonts: false,
  fontFiles: Object.values(fontFiles),
  defaultFontFamily: "DejaVu Sans",
};

function fontFile(name: string): string {
  return fileURLToPath(new URL(`../../../build/fonts/${name}`, import.meta.url));
}

/** PDF's unit: 72 to the inch, of which CSS has 96 pixels. */
const pointsPerPixel = 72 / 96;

/**
 * The picture, made for a width of `width` pixels, as an SVG document drawn without a browser.
 *
 * @param scale how many pixels of the document one of the picture's takes
 */
export function renderSvg(picture: Picture, theme: Theme, width = pictureWidth, scale = 1): string {
  const { option, height } = chartOption(picture, theme, width);
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
  try {
    chart.setOption(option);
    const label = format.encodeHTML(`${picture.title}. ${picture.finding}`);
    const size = `width="${rounded(width * scale)}" height="${rounded(height * scale)}"`;
    return compactSvg(chart.renderToSVGString()).replace(
      /^<svg width="[\d.]+" height="[\d.]+"/,
      () => `<svg role="img" aria-label="${label}" ${size}`,
    );
  } finally {
    // An open chart would keep the program running.
    chart.dispose();
  }
}

/** An SVG document as a PNG file, `scale` times as large, in the fonts that the program brings along. */
export function renderPng(svg: string, scale: number): Buffer {
  return new Resvg(svg, { fitTo: { mode: "zoom", value: scale }, font: pictureFont }).render().asPng();
}

/**
 * An SVG document that {@link renderSvg} drew as a PDF file of one page of its size, 96 pixels to the inch. Lines stay lines
 * and text stays text, in the fonts that the program brings along. The same document gives the same bytes.
 */
export async function renderPdf(svg: string, title: string): Promise<Buffer> {
  const { PDFDocument, drawSvg } = (await import(new URL("../../../build/pdf.js", import.meta.url).href)) as PdfParts;
  const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(svg)!;
  const document = new PDFDocument({
    size: [Number(width) * pointsPerPixel, Number(height) * pointsPerPixel],
    margin: 0,
    font: fontFiles.regular,
    // Of the day of making there must be nothing in the file.
    info: { Title: title, CreationDate: new Date(0) },
  });
  const pieces: Buffer[] = [];
  document.on("data", (piece: Buffer) => pieces.push(piece));
  const ended = new Promise((resolve) => document.on("end", resolve));
  drawSvg(document, svg, 0, 0, { fontCallback: (_, bold) => (bold ? fontFiles.bold : fontFiles.regular) });
  document.end();
  await ended;
  return Buffer.concat(pieces);
}

/** pdfkit and what draws SVG with it, as `npm run build` bundles them. */
interface PdfParts {
  readonly PDFDocument: typeof import("pdfkit");
  readonly drawSvg: typeof import("svg-to-pdfkit");
}

function rounded(pixels: number): number {
  return Number(pixels.toFixed(2));
}
