import { describe, expect, it } from "vitest";
import { directionOf, metricColumns } from "../../../src/core/results/metric-columns.ts";
import { measuredColumns } from "../../../src/node/check/checked-files.ts";

/** Neither way is better for these: sizes and names, and what is only a count or depends on the other metrics. */
const withoutDirection = [
  "kind",
  "steps",
  "tokens",
  "experts",
  "top_k",
  "churn",
  "regret_se",
  "sinkhorn_steps",
  "solver_iterations_mean",
  "solver_iterations",
  "gate_gradient_norm_mean",
  "gate_gradient_norm",
  "routing_entropy",
  "expert_similarity",
  "load",
  "router_z",
  "max_column_cardinality",
  "seeds",
];

describe("the direction of a metric", () => {
  it("is known for every column of the result files, and is none for those without a better way", () => {
    const unknown = measuredColumns.filter((column) => directionOf(column) === null);
    expect(unknown.toSorted()).toEqual(withoutDirection.toSorted());
  });

  it("is that of the metric in every file that has it", () => {
    const directions = [
      "max_vio",
      "max_vio_batch_mean",
      "score",
      "load_entropy",
      "min_vio",
      "task_loss",
      "specialisation",
    ];
    expect(directions.map(directionOf)).toEqual(["lower", "lower", "higher", "higher", "lower", "lower", "higher"]);
    for (const { column, better } of metricColumns) expect(directionOf(column)).toBe(better);
    expect(directionOf("score_ci95")).toBeNull();
  });
});
