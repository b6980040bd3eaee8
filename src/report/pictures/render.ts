import { Resvg } from "@resvg/resvg-js";
import * as echarts from "echarts";
import { chartOption } from "./chart-option.ts";
import { compactSvg } from "./compact-svg.ts";
import { type Picture, pictureWidth } from "./picture.ts";
import { pictureFont, textWidth } from "./text-width.ts";
import type { Theme } from "./theme.ts";

// Without a browser ECharts guesses widths for a narrower font, and labels would overlap or be cut.
echarts.setPlatformAPI({
  measureText(text, font = "") {
    const size = Number(/([\d.]+)px/.exec(font)?.[1] ?? 12);
    return { width: textWidth(text, size, /\bbold\b/.test(font)) };
  },
});

/** The picture as an SVG document, drawn without a browser. */
export function renderSvg(picture: Picture, theme: Theme): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: pictureWidth, height: picture.height });
  try {
    chart.setOption(chartOption(picture, theme));
    const label = echarts.format.encodeHTML(`${picture.title}. ${picture.finding}`);
    return compactSvg(chart.renderToSVGString()).replace(/^<svg /, () => `<svg role="img" aria-label="${label}" `);
  } finally {
    // An open chart would keep the program running.
    chart.dispose();
  }
}

/** An SVG document as a PNG file, `scale` times as large, in the fonts that the program brings along. */
export function renderPng(svg: string, scale: number): Buffer {
  return new Resvg(svg, { fitTo: { mode: "zoom", value: scale }, font: pictureFont }).render().asPng();
}
