import { max, mean } from "d3-array";
import { colors, draw, table, writeRows } from "./output.mjs";
import { loadMeasure, loadTheory, record, replay, scoresOf } from "./recording.mjs";

const { createBalanceBound } = await loadMeasure("balance-bound");
const { createBoundaryCounter } = await loadMeasure("boundary-tokens");

const distance = (load) => max(load, (pairs) => Math.abs(pairs - mean(load)));

/** An expert that has met balance stays as near to it as its boundary has tokens within 2u. */
export async function balance() {
  const scenario = await loadTheory("balance");
  const { tokens, experts, topK } = scenario;
  const counter = createBoundaryCounter(experts, topK);
  const inside = new Int32Array(experts);
  const outside = new Int32Array(experts);
  const recording = await record(scenario);
  const { kernels } = recording;
  const everyExpert = kernels.allocateInt32(tokens * experts);
  for (let pair = 0; pair < everyExpert.length; pair++) everyExpert[pair] = pair % experts;
  const matrix = kernels.allocateFloat64(tokens * experts);
  const scores = scoresOf(recording, scenario, scenario.routers[0].scores, 0, everyExpert, experts, matrix);
  const runs = scenario.routers.map((choice) => {
    const { name, options, steps } = replay(recording, scenario, choice);
    const tracker = createBalanceBound(experts);
    const rows = steps.map(({ bias, load }, step) => {
      // The keys' own rounding is far below 1e-12.
      counter.count(scores, bias, tokens, 2 * options.updateRate + 1e-12, inside, outside);
      tracker.observe(load, inside, outside);
      return { step, distance: distance(load), bound: max(tracker.bound) };
    });
    const met = rows.findIndex(({ bound }) => bound < Number.POSITIVE_INFINITY);
    return { name, rate: options.updateRate, rows, met, worst: max(rows.slice(met), (row) => row.distance), bound: rows.at(-1).bound };
  });
  writeRows(
    "balance",
    runs.map(({ rate, rows, met, worst, bound }) => ({
      update_rate: rate,
      first_distance: rows[0].distance,
      all_met_at_step: met,
      all_meet_by_step: (experts - 1) * Math.ceil(1 / (2 * rate)),
      worst_distance_since: worst,
      bound,
      mean_distance_of_last_half: mean(rows.slice(rows.length / 2), (row) => row.distance),
    })),
  );
  draw("balance", [
    {
      title: "Largest |A − L| of any expert",
      x: { name: "step", max: 400 },
      y: { name: "pairs", type: "log" },
      lines: runs.map(({ name, rows }, run) => ({
        name,
        color: colors[run],
        data: rows.filter(({ step, distance }) => step <= 400 && distance > 0).map(({ step, distance }) => [step, distance]),
      })),
    },
    {
      title: "Once every expert has met balance",
      x: { name: "update rate u", type: "log", min: 0.0005, max: 0.05 },
      y: { name: "pairs", type: "log" },
      lines: [
        { name: "bound", color: colors[1], symbol: "rect", type: "dashed", data: runs.map(({ rate, bound }) => [rate, bound]) },
        { name: "largest |A − L| measured", color: colors[0], symbol: "circle", data: runs.map(({ rate, worst }) => [rate, worst]) },
      ],
    },
  ]);
  return table(
    ["u", "every expert has met L by step", "guaranteed by", "largest \\|A − L\\| since", "bound"],
    runs.map(({ rate, met, worst, bound }) => [rate, met, (experts - 1) * Math.ceil(1 / (2 * rate)), worst, bound]),
  );
}
