import { fileURLToPath } from "node:url";
import { Resvg } from "@resvg/resvg-js";
import type * as echarts from "echarts";
import { compactSvg } from "../../core/pictures/parts/compact-svg.ts";
import { textWidth } from "../../core/pictures/parts/text.ts";
import { chartOption, type Theme } from "../../core/pictures/parts/theme.ts";
import { type Picture, pictureWidth } from "../../core/pictures/picture.ts";

/** The parts of ECharts that pictures need, as `npm run build` bundles them. */
type Charts = Pick<typeof echarts, "format" | "init" | "setPlatformAPI">;
const { format, init, setPlatformAPI }: Charts = await import(
  new URL("../../../build/charts.js", import.meta.url).href
);

// Without a browser, ECharts assumes a narrower font, and labels would overlap or be cut.
setPlatformAPI({
  measureText(text, font = "") {
    const size = Number(/([\d.]+)px/.exec(font)?.[1] ?? 12);
    return { width: textWidth(text, size, /\bbold\b/.test(font)) };
  },
});

/** DejaVu Sans, which `npm run build` puts into `build/`. */
const fontFiles = { regular: fontFile("DejaVuSans.ttf"), bold: fontFile("DejaVuSans-Bold.ttf") } as const;

/** Only the program's own fonts, so that pictures are the same on every machine. */
const pictureFont = {
  loadSystemFonts: false,
  fontFiles: Object.values(fontFiles),
  defaultFontFamily: "DejaVu Sans",
};

function fontFile(name: string): string {
  return fileURLToPath(new URL(`../../../build/fonts/${name}`, import.meta.url));
}

/** An inch has 72 points in PDF and 96 pixels in CSS. */
const pointsPerPixel = 72 / 96;

/**
 * Draws the picture, `width` pixels wide, as an SVG document, without a browser.
 *
 * @param scale pixels of the document per pixel of the picture
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

/** Turns an SVG document into a PNG file `scale` times as large, in the program's fonts. */
export function renderPng(svg: string, scale: number): Buffer {
  return new Resvg(svg, { fitTo: { mode: "zoom", value: scale }, font: pictureFont }).render().asPng();
}

/**
 * Turns an SVG document from {@link renderSvg} into a PDF file of one page of the same size, 96 pixels per inch. Lines stay
 * lines and text stays text, in the program's fonts. The same document gives the same bytes.
 */
export async function renderPdf(svg: string, title: string): Promise<Buffer> {
  const { PDFDocument, drawSvg } = (await import(new URL("../../../build/pdf.js", import.meta.url).href)) as PdfParts;
  const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(svg)!;
  const document = new PDFDocument({
    size: [Number(width) * pointsPerPixel, Number(height) * pointsPerPixel],
    margin: 0,
    font: fontFiles.regular,
    // The file must not depend on the date.
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

/** pdfkit and svg-to-pdfkit, as `npm run build` bundles them. */
interface PdfParts {
  readonly PDFDocument: typeof import("pdfkit");
  readonly drawSvg: typeof import("svg-to-pdfkit");
}

function rounded(pixels: number): number {
  return Number(pixels.toFixed(2));
}
