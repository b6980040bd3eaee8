import { expect, it } from "vitest";
import { createRunSummary } from "../../src/metrics/run-summary.ts";
import { summaryObject } from "../../src/report/summary-object.ts";
import { formatSummaryTable, type SummaryTableRow } from "../../src/report/summary-table.ts";
import { madeRecords } from "../support/trained-run.ts";

function rowOf(router: string, loss: number, trains: boolean): SummaryTableRow {
  const summary = createRunSummary({ experts: 8, ranks: 1, deadWindow: 4 });
  for (const record of madeRecords(
    { router, loss, skew: 0.1 },
    { routers: [], steps: 9, seed: 1, hasClusters: true },
  )) {
    const { training, ...untrained } = record;
    summary.observe(trains ? record : untrained);
  }
  return {
    source: { scenario: "made", router, kind: router, seed: 1 },
    sizes: { steps: 9, tokens: 128, experts: 8, topK: 2 },
    summary: summary.summary(),
    dualRegret: null,
    routeMs: [1, 2, 6],
    trainMs: trains ? [30, 10, 20] : null,
    dualScores: null,
  };
}

const trained = [rowOf("topk", 0.5, true), rowOf("alf-lb", 0.25, true)];

it("shows the task loss of routers that were trained with, beside the router however narrow the table is", () => {
  const lines = formatSummaryTable(trained, { width: 40 }).split("\n");
  expect(lines[0]).toMatch(/^ router +task +MaxVio/);
  expect(lines[1]).toMatch(/^ +loss/);
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(40);
  expect(lines[3]).toMatch(new RegExp(`^ topk +${trained[0].summary.taskLoss!.toPrecision(4).replace(/0+$/, "")} `));
});

it("fits eighty columns with it", () => {
  const table = formatSummaryTable(trained, { width: 80 });
  expect(Math.max(...table.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(80);
  expect(table).toContain("idle");
});

it("has no such column where nothing was trained", () => {
  expect(formatSummaryTable([rowOf("topk", 0.5, false)])).not.toMatch(/task|loss/);
});

it("names the columns of training to scripts where there are any, with the median of what it took", () => {
  const [row] = trained;
  expect(summaryObject(row)).toMatchObject({
    router: "topk",
    task_loss: row.summary.taskLoss,
    task_loss_mean: row.summary.taskLossMean,
    gate_gradient_norm_mean: row.summary.gateGradientNormMean,
    routing_entropy: row.summary.routingEntropy,
    specialisation: row.summary.specialisation,
    expert_similarity: row.summary.expertSimilarity,
    route_ms_median: 2,
    train_ms_median: 20,
  });
  const keys = Object.keys(summaryObject(rowOf("topk", 0.5, false)));
  expect(keys.slice(-2)).toEqual(["regret_se", "route_ms_median"]);
});
