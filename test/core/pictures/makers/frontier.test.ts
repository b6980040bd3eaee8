import type { LineSeriesOption, ScatterSeriesOption } from "echarts";
import { expect, it } from "vitest";
import { frontierPicture } from "../../../../src/core/pictures/makers/frontier.ts";
import { multiplesAxis, placesOnAxis } from "../../../../src/core/pictures/parts/axes.ts";
import { type FrontierLayer, summarizeFrontier } from "../../../../src/core/results/frontier.ts";

const factors = [1, 2, 4, 8];

/** A layer of two steps with the best score 0.5, whose optima lose `prices`, and routers that lose theirs at a capacity factor of 2. */
function layerOf(layer: number | null, prices: readonly number[], ofRouters: readonly number[]): FrontierLayer {
  const steps = [0, 1].map((step) => ({
    step,
    pairs: 64,
    unbounded: 0.5,
    freeFactor: 3 + step,
    optima: prices.map((price, i) => ({
      capacity: 8 * factors[i],
      score: 0.5 - price,
      upperBound: 0.5 - price,
      unassigned: 0,
    })),
    routers: ofRouters.map((price) => ({
      capacityFactor: 2,
      maxVio: 1,
      score: 0.5 - price,
      upperBound: 0.5 - prices[1],
    })),
  }));
  return { layer, steps };
}

function draw(layers: readonly FrontierLayer[], routers: readonly string[], width?: number) {
  const picture = frontierPicture(summarizeFrontier(layers, factors, routers)!, width);
  const series = picture.option.series as (LineSeriesOption | ScatterSeriesOption)[];
  const named = (name: string, type: string) => series.find((each) => each.name === name && each.type === type);
  return { picture, dataOf: (name: string, type = "line") => named(name, type)?.data };
}

it("draws the best score by capacity, up to the first that costs nothing, and each router with its bound", () => {
  const { picture, dataOf } = draw([layerOf(null, [0.1, 0.05, 0, 0], [0.08, 0.4])], ["near", "far"]);
  expect(dataOf("best possible")).toEqual([
    [1, 80],
    [2, 90],
    [4, 100],
  ]);
  expect(dataOf("near", "scatter")).toEqual([[2, 84, "near"]]);
  expect(dataOf("up to a router's own bound")).toEqual([
    [2, 84],
    [2, 90],
    [null, null],
  ]);
  expect(dataOf("far", "scatter")).toBeUndefined();
  expect(picture.reading).toContain("Too far below to show: far (20 % at 2).");
  expect(picture.finding).toContain("loses 20 % at 1, 10 % at 2 and 0 % at 4");
});

it("adds the worst layer if there are several", () => {
  const layers = [layerOf(1, [0.1, 0.05, 0, 0], [0.1]), layerOf(2, [0.3, 0.01, 0.01, 0], [0.2])];
  const { picture, dataOf } = draw(layers, ["r"], 390);
  expect(dataOf("best possible, mean over layers")).toEqual([
    [1, 60],
    [2, 94],
    [4, 99],
    [8, 100],
  ]);
  expect(dataOf("best possible, worst layer")).toEqual([
    [1, 40],
    [2, 90],
    [4, 98],
    [8, 100],
  ]);
  expect(picture.reading).toContain("the layer that pays most");
});

it("has an axis of multiples with room near 1", () => {
  const axis = multiplesAxis([1, 1.3, 6]);
  expect([axis.type, axis.min, axis.max]).toEqual(["log", 1, 7]);
  expect(placesOnAxis([1, 7], axis)).toEqual([0, 1]);
  expect(placesOnAxis([Math.sqrt(7)], axis)[0]).toBeCloseTo(0.5, 12);
  expect(multiplesAxis([1, 1])).toMatchObject({ min: 1, max: 1.1 });
  expect(multiplesAxis([0.6, 12])).toMatchObject({ min: 0.5, max: 12.5 });
});
