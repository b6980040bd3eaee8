import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, it, vi } from "vitest";
import { expandSweep } from "../../../src/core/library/scenario-input.ts";
import { simulate } from "../../../src/core/library/simulate.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import type { StreamKind } from "../../../src/core/streams/stream.ts";
import type { ScenarioInput } from "../../../src/index.ts";
import { openResults } from "../../../src/node/files/read-results.ts";
import { runScenario } from "../../../src/node/run/run-scenario.ts";
import { runSweep } from "../../../src/node/run/run-sweep.ts";
import { readCsv, temporaryFolder } from "../../support/program.ts";
import { stagingIn } from "../../support/staging.ts";

// The clusters with a loss that halves on every step, as a kind of its own.
vi.mock("../../../src/core/streams/index.ts", async (importOriginal) => {
  const original = await importOriginal<typeof import("../../../src/core/streams/index.ts")>();
  const clusters = original.findStreamKind("clusters")!;
  const halving: StreamKind = {
    ...clusters,
    kind: "halving",
    feedback: "training",
    async create(context, options) {
      const stream = await clusters.create(context, options);
      let taskLoss = 16;
      const learn = () => {
        taskLoss /= 2;
        return { taskLoss, gateGradientNorm: 1, expertSimilarity: 0 };
      };
      return { ...stream, learn };
    },
  };
  const streamKinds = [...original.streamKinds, halving];
  const findStreamKind = (kind: string) => streamKinds.find((one) => one.kind === kind);
  return { streamKinds, findStreamKind, streamKindOf: ({ kind }: { kind: string }) => findStreamKind(kind)! };
});

const written = {
  name: "halving",
  steps: 4,
  tokens: 32,
  experts: 4,
  deadWindow: 2,
  stream: { kind: "halving" },
  routers: [{ kind: "topk" }, { kind: "alf-lb" }],
};
const options = { workers: 1, backend: "wasm", onProgress: () => undefined } as const;

it("writes what training came to into each file of a run", async () => {
  const folder = temporaryFolder();
  await runScenario(await resolveScenario(written, "halving.yaml"), folder, options);
  for (const row of readCsv(path.join(folder, "summary.csv"))) {
    expect(row).toMatchObject({ task_loss: "1.5", task_loss_mean: "3.75", gate_gradient_norm_mean: "1" });
  }
  const steps = readCsv(path.join(folder, "steps.csv"));
  expect(steps.map((row) => row.task_loss)).toEqual(["8", "4", "2", "1", "8", "4", "2", "1"]);
  // What is put in at the end is still in its own columns.
  expect(steps.every((row) => Number(row.regret) >= 0 && row.expert_similarity === "0")).toBe(true);
  const [timing] = readCsv(path.join(folder, "timing.csv"));
  expect(Number(timing.train_ms_p95)).toBeGreaterThanOrEqual(Number(timing.train_ms_median));
});

it("gives the library the same figures", async () => {
  const { runs } = await simulate(await resolveScenario(written, "halving.yaml"));
  for (const { summary, steps, trainMs } of runs) {
    expect(summary).toMatchObject({ taskLoss: 1.5, taskLossMean: 3.75, expertSimilarity: 0 });
    expect(steps.map(({ taskLoss }) => taskLoss)).toEqual([8, 4, 2, 1]);
    expect(trainMs).toHaveLength(4);
  }
});

it("leaves the columns of training empty in a sweep for the cells that do not train, and puts parameters behind them", async () => {
  const staging = stagingIn(temporaryFolder());
  const folder = staging.files;
  const swept = { ...written, sweep: { "stream.kind": ["clusters", "halving"] } };
  // Types know nothing of this file's own kind of stream.
  const cells = await expandSweep(swept as unknown as ScenarioInput);
  await runSweep(cells, staging, { ...options, scenarioFile: "halving.yaml", resume: false });
  expect(openResults(folder).parameters).toEqual(["stream.kind"]);
  const rows = readCsv(path.join(folder, "summary.csv"));
  expect(rows.map((row) => [row["stream.kind"], row.task_loss, row.expert_similarity])).toEqual([
    ["clusters", "", ""],
    ["clusters", "", ""],
    ["halving", "1.5", "0"],
    ["halving", "1.5", "0"],
  ]);
  expect(readFileSync(path.join(folder, "cells/0/summary.csv"), "utf8")).not.toContain("task_loss");
  const intervals = readCsv(path.join(folder, "intervals.csv"));
  expect(intervals.map((row) => row.task_loss)).toEqual(["", "", "1.5", "1.5"]);
});
