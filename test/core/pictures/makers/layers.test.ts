import type { HeatmapSeriesOption, LineSeriesOption, YAXisComponentOption } from "echarts";
import { expect, it } from "vitest";
import {
  layerGainPicture,
  layerLoadsPicture,
  layerMaxVioPicture,
} from "../../../../src/core/pictures/makers/layers.ts";
import type { LayerData, ReportData } from "../../../../src/core/pictures/parts/report-data.ts";
import type { Picture } from "../../../../src/core/pictures/picture.ts";
import { plainData, plainResults } from "../parts/plain-results.ts";

const ids = [1, 2, 26];

/** A variant per router of `maxVios`, with its MaxVio in each layer; `load` of layer and router. */
function dataOf(
  maxVios: Readonly<Record<string, readonly (number | null)[]>>,
  load: (layer: number) => readonly number[] = () => [1, 3, 0, 4],
): ReportData {
  const rows = Object.keys(maxVios).map((router) => ({ router, kind: router, max_vio_batch_mean: 1 }));
  const data = plainData(plainResults(rows));
  return {
    ...data,
    variants: data.variants.map((variant) => ({
      ...variant,
      layers: maxVios[variant.router].map(
        (maxVio, at): LayerData => ({ layer: ids[at], maxVio, load: load(ids[at]), steps: 7 }),
      ),
    })),
  };
}

function seriesOf<Series>({ option }: Picture): readonly Series[] {
  return option.series as unknown as readonly Series[];
}

const twoRouters = { "alf-lb": [0.5, 0.25, 4], topk: [2, 1, 3] };

it("draws MaxVio over the model's layers, and names the worst", () => {
  const picture = layerMaxVioPicture(dataOf(twoRouters))!;
  expect(seriesOf<LineSeriesOption>(picture).map(({ name, data }) => [name, data])).toEqual([
    [
      "alf-lb",
      [
        [1, 0.5],
        [2, 0.25],
        [26, 4],
      ],
    ],
    [
      "topk",
      [
        [1, 2],
        [2, 1],
        [26, 3],
      ],
    ],
  ]);
  expect(picture.finding).toBe(
    "The worst layer's MaxVio is lowest for topk in layer 26 (3) and highest for alf-lb in layer 26 (4).",
  );
});

it("draws the loads of each layer, the least balanced router first and layers from the top", () => {
  const picture = layerLoadsPicture(dataOf(twoRouters, (layer) => (layer === 2 ? [5, 5, 5, 5] : [1, 3, 0, 4])))!;
  expect((picture.option.title as { text: string }[]).map(({ text }) => text)).toEqual([
    "topk · worst: layer 26",
    "alf-lb · worst: layer 26",
  ]);
  const [busy, idle] = seriesOf<HeatmapSeriesOption>(picture);
  // Expert, row of the layer, percent of the layer's mean load.
  expect(idle.data).toEqual([
    [2, 0, 0],
    [2, 2, 0],
  ]);
  expect(busy.data).toContainEqual([1, 0, 150]);
  expect((busy.data as number[][]).filter(([, row]) => row === 1)).toEqual([0, 1, 2, 3].map((e) => [e, 1, 100]));
  const [rows] = picture.option.yAxis as (YAXisComponentOption & { data: string[] })[];
  expect([rows.data, rows.inverse]).toEqual([["1", "2", "26"], true]);
  expect(picture.finding).toBe("The worst layers of topk are 26 (MaxVio 3), 1 (MaxVio 2), 2 (MaxVio 1).");
});

it("shows the fullest expert of a group, and is idle only if all of the group are", () => {
  const load = Array.from({ length: 2000 }, (_, expert) => (expert < 40 ? 0 : expert === 1999 ? 600 : 1));
  const picture = layerLoadsPicture(dataOf({ topk: [2, 1, 3] }, () => load))!;
  const [busy, idle] = seriesOf<HeatmapSeriesOption>(picture).map(({ data }) => data as number[][]);
  expect(busy.length + idle.length).toBeLessThanOrEqual(3 * 1000);
  expect(idle.length).toBeGreaterThan(0);
  const mean = (1959 + 600) / 2000;
  expect(Math.max(...busy.map(([, , percent]) => percent))).toBe(Math.round(60_000 / mean));
});

it("compares each layer with plain top-k, and marks the layers that a router makes worse", () => {
  const picture = layerGainPicture(dataOf(twoRouters))!;
  const [better, worse] = seriesOf<HeatmapSeriesOption>(picture);
  expect(better.data).toEqual([
    [0, 0, 25],
    [1, 0, 25],
  ]);
  expect(worse.data).toEqual([[2, 0, 133.33]]);
  expect(picture.finding).toBe("The number of the 3 layers better balanced than with topk is 2 for alf-lb.");
  expect(layerGainPicture(dataOf({ topk: [1, 1, 1] }))).toBeNull();
});

it("leaves a layer without a load empty", () => {
  const data = dataOf({ topk: [2, null, 3], "alf-lb": [1, 1, 1] });
  expect(seriesOf<LineSeriesOption>(layerMaxVioPicture(data)!)[0].data).toEqual([
    [1, 2],
    [2, null],
    [26, 3],
  ]);
  const [better] = seriesOf<HeatmapSeriesOption>(layerGainPicture(data)!);
  expect((better.data as number[][]).map(([layer]) => layer)).toEqual([0, 2]);
});

it("draws nothing of results of one layer", () => {
  const data = plainData(plainResults([{ router: "topk", kind: "topk", max_vio_batch_mean: 1 }]));
  for (const draw of [layerMaxVioPicture, layerLoadsPicture, layerGainPicture]) expect(draw(data)).toBeNull();
});
