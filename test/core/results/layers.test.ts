import { expect, it } from "vitest";
import { createRunSummary } from "../../../src/core/metrics/run-summary.ts";
import { loadMetrics } from "../../../src/core/metrics/step-metrics.ts";
import { meanOfLayers, timingOfLayers } from "../../../src/core/results/layers.ts";
import type { LayerRow } from "../../../src/core/results/result-columns.ts";
import { layersTable, summaryTable } from "../../../src/core/results/result-columns.ts";

const experts = 4;

/** A row of layers.csv from the loads of a layer's steps. */
function rowOf(layer: number, loads: readonly (readonly number[])[]): LayerRow {
  const summary = createRunSummary({ experts, ranks: 1, deadWindow: loads.length });
  const maxVios = loads.map((load, step) => {
    const pairs = load.reduce((total, one) => total + one, 0);
    const metrics = loadMetrics(Int32Array.from(load), pairs, pairs, new Float64Array(1));
    summary.observe({ step, tokens: null, load, metrics, regret: null });
    return metrics.maxVio;
  });
  const source = { scenario: "made", router: "recorded", kind: "recorded", seed: null };
  const sizes = { steps: loads.length, tokens: null, experts, topK: null };
  return { source, sizes, summary: summary.summary(maxVios as number[]), layer };
}

// Each layer is collapsed onto another expert: added up, they would look balanced.
const collapsed = [0, 1, 2, 3].map((layer) => rowOf(layer, [[0, 1, 2, 3].map((expert) => (expert === layer ? 8 : 0))]));

it("takes means of the layers' own figures, and never adds up experts of different layers", () => {
  const { summary, worstLayer } = meanOfLayers(collapsed);
  expect(summary).toMatchObject({ maxVioGlobal: 3, loadEntropy: 0, deadExperts: 3, maxVioWorst: 3 });
  expect(worstLayer).toBe(0);
});

it("names the worst layer, and the first of several", () => {
  const rows = [rowOf(3, [[2, 2, 2, 2]]), rowOf(7, [[5, 1, 1, 1]]), rowOf(9, [[1, 5, 1, 1]])];
  const { summary, worstLayer } = meanOfLayers(rows);
  expect([summary.maxVioWorst, worstLayer]).toEqual([1.5, 7]);
  expect(summary.maxVioGlobal).toBe(1);
});

it("has layers without a pair in no mean", () => {
  const [dense, live] = [rowOf(0, [[0, 0, 0, 0]]), rowOf(1, [[2, 2, 4, 0]])];
  const { summary } = meanOfLayers([dense, live]);
  expect(summary).toMatchObject({ maxVioGlobal: 1, idleFractionMean: 0.25, maxVioWorst: 1, maxVioBatches: [1] });
  expect(meanOfLayers([dense, dense])).toMatchObject({ worstLayer: null });
});

it("averages each step over the layers, and keeps all times", () => {
  const rows = [
    rowOf(0, [
      [2, 2, 2, 2],
      [8, 0, 0, 0],
    ]),
    rowOf(1, [
      [4, 2, 1, 1],
      [2, 2, 2, 2],
    ]),
  ];
  expect(meanOfLayers(rows).summary.maxVioBatches).toEqual([0.5, 1.5]);
  const timing = (routeMs: number[]) => ({ routeMs: Float64Array.from(routeMs), trainMs: null, tokens: 10 });
  expect(timingOfLayers([timing([1, 2]), timing([3])])).toEqual({
    routeMs: Float64Array.of(1, 2, 3),
    trainMs: null,
    tokens: 20,
  });
});

it("makes a table of the layers and one of the means, with the worst layer last", () => {
  const [perLayer, summary] = [layersTable(collapsed), summaryTable([meanOfLayers(collapsed)])];
  expect([perLayer.file, perLayer.columns.at(-1)]).toEqual(["layers.csv", "layer"]);
  expect(perLayer.rows.map((row) => row.at(-1))).toEqual(["0", "1", "2", "3"]);
  expect(summary.columns.slice(-2)).toEqual(["max_vio_worst", "max_vio_worst_layer"]);
  expect(summary.rows[0].slice(-2)).toEqual(["3", "0"]);
  expect(summaryTable([collapsed[0]]).columns).not.toContain("max_vio_worst");
});
