import { createRequire } from "node:module";
import path from "node:path";
import { Resvg } from "@resvg/resvg-js";
import * as echarts from "echarts";
import { chartOption } from "./chart-option.ts";
import { type Picture, pictureWidth } from "./picture.ts";
import type { Theme } from "./theme.ts";

const fontFolder = path.join(
  path.dirname(createRequire(import.meta.url).resolve("dejavu-fonts-ttf/package.json")),
  "ttf",
);

/** The picture as an SVG document, drawn without a browser. */
export function renderSvg(picture: Picture, theme: Theme): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: pictureWidth, height: picture.height });
  try {
    chart.setOption(chartOption(picture, theme));
    return chart.renderToSVGString();
  } finally {
    // An open chart would keep the program running.
    chart.dispose();
  }
}

/** An SVG document as a PNG file, `scale` times as large, in the fonts that the program brings along. */
export function renderPng(svg: string, scale: number): Buffer {
  const font = {
    loadSystemFonts: false,
    fontFiles: ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"].map((name) => path.join(fontFolder, name)),
    defaultFontFamily: "DejaVu Sans",
  };
  return new Resvg(svg, { fitTo: { mode: "zoom", value: scale }, font }).render().asPng();
}
