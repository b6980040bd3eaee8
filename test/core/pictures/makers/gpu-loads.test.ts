import { describe, expect, it } from "vitest";
import { gpuLoadsPicture } from "../../../../src/core/pictures/makers/gpu-loads.ts";
import { themes } from "../../../../src/core/pictures/parts/theme.ts";
import { renderSvg } from "../../../../src/node/render/render.ts";

const layer = { layer: 3, unplaced: [6, 2, 4, 0], placed: [4, 3, 3, 2], bound: 3.5 };

describe("the picture of the GPUs' loads", () => {
  it("has two bars per GPU and the bound for one layer, in percent of the mean", () => {
    const picture = gpuLoadsPicture([layer], "all steps");
    const series = picture.option.series as { name: string; data: number[] }[];
    expect(series.map(({ name, data }) => [name, data])).toEqual([
      ["experts in order", [200, 66.667, 133.33, 0]],
      ["placed", [133.33, 100, 100, 66.667]],
      ["bound of any placement", [116.67, 116.67, 116.67, 116.67]],
    ]);
    expect(picture.finding).toBe(
      "The fullest GPU has 2 times the mean load with the experts in order, and 1.33 times placed; no placement gets below 1.17.",
    );
    expect(renderSvg(picture, themes.light)).toContain("bound of any placement");
  });

  it("has a row of cells per layer for several, one panel before and one after", () => {
    const other = { layer: 7, unplaced: [1, 1, 1, 5], placed: [2, 2, 2, 2], bound: 2 };
    const picture = gpuLoadsPicture([layer, other], "all steps");
    const cells = (picture.option.series as { name: string; data: number[][] }[]).map(({ name, data }) => [name, data]);
    // The second series of a panel has the cells of idle GPUs.
    expect(cells).toEqual([
      [
        "experts in order",
        [
          [0, 0, 200],
          [0, 1, 50],
          [1, 0, 67],
          [1, 1, 50],
          [2, 0, 133],
          [2, 1, 50],
          [3, 1, 250],
        ],
      ],
      ["experts in order", [[3, 0, 0]]],
      [
        "placed",
        [
          [0, 0, 133],
          [0, 1, 100],
          [1, 0, 100],
          [1, 1, 100],
          [2, 0, 100],
          [2, 1, 100],
          [3, 0, 67],
          [3, 1, 100],
        ],
      ],
      ["placed", []],
    ]);
    expect(picture.finding).toContain("In the mean over 2 rows, the fullest GPU has ");
  });

  it("groups neighbouring GPUs if there are more than cells, and shows the fullest", () => {
    const loads = Float64Array.from({ length: 1000 }, (_, gpu) => (gpu === 500 ? 1001 : 1));
    const picture = gpuLoadsPicture([{ layer: 0, unplaced: loads, placed: loads, bound: 1 }], "all steps", 390);
    const [{ data }] = picture.option.series as { data: number[][] }[];
    expect(data.length).toBeLessThan(200);
    expect(Math.max(...data.map(([, , value]) => value))).toBe(50050);
    expect(picture.reading).toMatch(/A column covers up to \d+ neighbouring GPUs/);
  });
});
