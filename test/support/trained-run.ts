import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createRunSummary } from "../../src/core/metrics/run-summary.ts";
import { loadMetrics } from "../../src/core/metrics/step-metrics.ts";
import type { StepRecord } from "../../src/core/metrics/step-record.ts";
import { createRandom } from "../../src/core/random.ts";
import { summaryTable, timingTable } from "../../src/core/results/result-columns.ts";
import { loadSteps } from "../../src/core/simulation/router-run.ts";
import { createStepFiles, writeTable } from "../../src/node/files/write-results.ts";
import { temporaryFolder } from "./program.ts";

/** A router that is said to have trained: its loss falls to `loss`, and its loads are the more uneven the larger `skew`. */
export interface MadeRouter {
  readonly router: string;
  readonly loss: number;
  readonly skew: number;
}

export interface MadeTraining {
  readonly routers: readonly MadeRouter[];
  readonly steps: number;
  readonly seed: number;
  /** Whether the stream knew the true clusters. */
  readonly hasClusters: boolean;
}

const [tokens, experts, topK] = [128, 8, 2];

/** What steps of training may come to, one after the other: a loss that falls in the noise of its batches. */
export function* madeRecords({ router, loss, skew }: MadeRouter, training: MadeTraining): Iterable<StepRecord> {
  const random = createRandom(training.seed).derive(router);
  const weights = Array.from({ length: experts }, (_, expert) => Math.exp(-skew * expert));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  for (let step = 0; step < training.steps; step++) {
    const load = weights.map((weight) =>
      Math.max(0, Math.round((tokens * topK * weight) / total + 3 * random.normal())),
    );
    const progress = 1 - Math.exp((-8 * step) / training.steps);
    yield {
      step,
      tokens,
      load,
      metrics: {
        ...loadMetrics(load, 32, 256, new Float64Array(1)),
        routingEntropy: 1 - 0.5 * progress,
        specialisation: training.hasClusters ? progress : null,
      },
      regret: null,
      training: {
        taskLoss: (loss + 1 - progress) * Math.exp(0.1 * random.normal()),
        gateGradientNorm: 0.1 * Math.exp(random.normal()),
        expertSimilarity: 0.25 * progress,
      },
    };
  }
}

/** The result files of a scenario whose stream trains, written into `folder` as a run would, its figures made up. */
export function writeTrainedRun(folder: string, training: MadeTraining): void {
  const { routers, steps, seed } = training;
  mkdirSync(folder, { recursive: true });
  const sizes = { steps, tokens, experts, topK };
  const files = createStepFiles(folder, "trained");
  const rows = routers.map((made) => {
    const source = { scenario: "trained", router: made.router, kind: made.router, seed };
    const summary = createRunSummary({ experts, ranks: 1, deadWindow: Math.min(100, steps) });
    const maxVioBatches: (number | null)[] = [];
    const sampled = loadSteps({ steps, loadSamples: 10, seed });
    for (const record of madeRecords(made, training)) {
      summary.observe(record);
      maxVioBatches.push(record.metrics.maxVio);
      files.write({ source, step: record.step, figure: ({ value }) => value(record) });
      if (sampled.includes(record.step)) files.writeLoad(source, record.step, record.load);
    }
    return { source, sizes, summary: summary.summary(maxVioBatches) };
  });
  files.close();
  writeTable(folder, summaryTable(rows));
  const [routeMs, trainMs] = [new Float64Array(steps).fill(1), Float64Array.from({ length: steps }, (_, step) => step)];
  const timing = { routeMs, trainMs, tokens: steps * tokens };
  writeTable(folder, timingTable(rows.map(({ source }) => ({ source, timing }))));
}

/** The results of such a run in a fresh folder. */
export async function trainedRun(training: Partial<MadeTraining> = {}): Promise<string> {
  const folder = temporaryFolder();
  const routers = [
    { router: "topk", loss: 0.2, skew: 0.8 },
    { router: "alf-lb", loss: 0.1, skew: 0.2 },
    { router: "sinkhorn", loss: 0.3, skew: 0 },
  ];
  writeTrainedRun(folder, { routers, steps: 30, seed: 1, hasClusters: true, ...training });
  return folder;
}

/** The results of a sweep of `stream.dimension` over three seeds whose cells are such runs, without intervals.csv. */
export async function trainedSweep(): Promise<string> {
  const folder = temporaryFolder();
  const lines: string[] = [];
  for (const [position, [seed, size]] of [1, 2].flatMap((size) => [1, 2, 3].map((seed) => [seed, size])).entries()) {
    const cell = path.join(folder, "cells", String(position));
    const routers = [
      { router: "topk", loss: 0.2 / size, skew: 0.8 },
      { router: "alf-lb", loss: 0.1 / size, skew: 0.2 },
    ];
    writeTrainedRun(cell, { routers, steps: 30, seed, hasClusters: true });
    const [header, ...rows] = readFileSync(path.join(cell, "summary.csv"), "utf8").trimEnd().split("\n");
    if (position === 0) lines.push(`${header},stream.dimension`);
    lines.push(...rows.map((row) => `${row},${size}`));
  }
  writeFileSync(path.join(folder, "summary.csv"), `${lines.join("\n")}\n`);
  return folder;
}
