import { expect, it } from "vitest";
import { comparisonPictures } from "../../../src/core/pictures/comparison-pictures.ts";
import { textWidth } from "../../../src/core/pictures/parts/text.ts";
import { themes } from "../../../src/core/pictures/parts/theme.ts";
import { renderSvg } from "../../../src/node/render/render.ts";
import { comparisonOf } from "../results/two-folders.ts";

/** The picture of the metric of two folders. */
function pictureOf(rows: Parameters<typeof comparisonOf>[0]) {
  return comparisonPictures(comparisonOf(rows))[0];
}

it("draws every interval, and those that reach beyond all means as well", () => {
  const rows = { a: [[1, 2] as const, [1.5, 0.1] as const], b: [[2, 0.5] as const, null] };
  const svg = renderSvg(pictureOf(rows), themes.light);
  const colors = themes.light.variants.slice(0, 2);
  const lines = Array.from(svg.matchAll(/<path d="([^"]*)" fill="none"[^>]* stroke="(#\w+)"/g))
    .filter(([, , color]) => colors.includes(color))
    .flatMap(([, path]) => Array.from(path.matchAll(/M[\d.]+ ([\d.]+)L[\d.]+ \1/g)));
  expect(lines).toHaveLength(3);
});

it("has room for names with the parameters of a cell, which rows differ in, and cuts the longest", () => {
  const widthOf = (name: string) => {
    const { yAxis } = pictureOf({ [name]: [[1, 1], null] }).option as { yAxis: { axisLabel: { width: number } } };
    return yAxis.axisLabel.width;
  };
  const name = "alf-lb updateRate=0.001 maxIterations=10 exponent=0.5";
  expect(widthOf(name)).toBeGreaterThan(textWidth(name, 12));
  expect(widthOf("topk")).toBeLessThan(50);
  expect(widthOf(name.repeat(9))).toBeLessThan(500);
});
