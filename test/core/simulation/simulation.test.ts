import { writeFileSync } from "node:fs";
import path from "node:path";
import { deserialize, serialize } from "node:v8";
import { describe, expect, it } from "vitest";
import { createKernels } from "../../../src/core/kernels/index.ts";
import { stepColumns } from "../../../src/core/metrics/catalogue.ts";
import type { StepRecord } from "../../../src/core/metrics/step-record.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import type { RouterChoice, Scenario } from "../../../src/core/scenario/scenario.ts";
import { type PartResult, routerResults } from "../../../src/core/simulation/result.ts";
import { batchesOnly, type SimulationPart, shareParts } from "../../../src/core/simulation/sharing.ts";
import { createSimulation, type SimulationState } from "../../../src/core/simulation/simulation.ts";
import { npyBytes } from "../../support/npy.ts";
import { temporaryFolder } from "../../support/program.ts";
import { simulateRouters } from "../../support/simulate-routers.ts";

const sizes = { seed: 5, steps: 23, tokens: 40, experts: 8, topK: 2, capacity: "drop" };
const routers = [
  { kind: "alf-lb", updateRate: 0.01 },
  { kind: "ssr" },
  { kind: "base", scores: "sigmoid" },
  { kind: "noisy-topk" },
  { kind: "expert-choice" },
];

function scenarioOf(fields: object): Promise<Scenario> {
  return resolveScenario({ ...sizes, name: "kept", regret: { every: 3 }, routers, ...fields }, "kept.yaml");
}

/** Steps a part to its end; returns its records, its result without wall-clock times, and its state after every two steps. */
async function simulated(scenario: Scenario, part: SimulationPart, from?: SimulationState) {
  const records: string[] = [];
  const states: Buffer[] = [];
  const simulation = await createSimulation(scenario, { kernels: createKernels("wasm"), part, from });
  let saved = simulation.steps;
  for (let step = await simulation.step(); step !== null; step = await simulation.step()) {
    for (const [index, record] of step.entries()) {
      records.push(JSON.stringify([simulation.runs[index].choice.name, record]));
    }
    const { steps } = simulation;
    if (steps === saved || steps % 2 > 0) continue;
    states.push(serialize(simulation.state()));
    saved = steps;
  }
  const result = await simulation.result();
  await simulation.close();
  return { records, states, result: withoutTimes(result) };
}

function withoutTimes({ runs, ...others }: PartResult): object {
  return {
    ...others,
    runs: runs.map(({ series: { routeMs, trainMs, ...series }, ...run }) => ({
      ...run,
      series,
      timed: [routeMs.length, trainMs?.length],
    })),
  };
}

/** Whether each part of `scenario` for `workers` threads comes to the same from each of its states. */
async function expectToResume(scenario: Scenario, workers: number): Promise<void> {
  for (const part of shareParts(scenario, workers)) {
    const whole = await simulated(scenario, part);
    expect(whole.states.length).toBeGreaterThan(0);
    for (const [index, state] of whole.states.entries()) {
      const from: SimulationState = deserialize(state);
      expect(from.steps).toBe(2 * (index + 1));
      const rest = await simulated(scenario, part, from);
      expect(rest.result).toEqual(whole.result);
      expect(rest.records).toEqual(whole.records.slice(from.steps * part.routers.length));
      expect(rest.states).toHaveLength(whole.states.length - index - 1);
    }
  }
}

describe("a simulation that resumes from the state of another", () => {
  it.each([
    ["a stream that can skip", { stream: { kind: "drift", mode: "shift", steps: [4, 15] } }],
    ["a stream that repeats", { stream: { kind: "gaussian", repeat: true } }],
    ["a stream that answers the router's load", { stream: { kind: "adversarial" } }],
    [
      "a gate that learns",
      { stream: { kind: "training", width: 6, hidden: 6 }, capacity: "drop", routers: [{ kind: "noisy-topk" }] },
    ],
    ["optima within a gap, each sought from the last", { stream: { kind: "bursty" }, regret: { every: 1, gap: 1e-3 } }],
    [
      "experts that are placed again",
      { stream: { kind: "drift" }, placement: { gpus: 4, slots: 12, window: 5, interval: 3, moveCost: 0.1 } },
    ],
    ["no regret", { stream: { kind: "zipf-text" }, regret: { every: 0 } }],
  ])("comes to the same, with %s", async (_, fields) => {
    const scenario = await scenarioOf(fields);
    await expectToResume(scenario, 1);
    await expectToResume(scenario, 3);
  });

  it("comes to the same, with recorded logits and a shorter last batch", async () => {
    const file = path.join(temporaryFolder(), "logits.npy");
    const tokens = 22 * 40 + 7;
    const logits = Float32Array.from({ length: tokens * 8 }, (_, i) => 2 * Math.sin(i * i));
    writeFileSync(file, npyBytes([tokens, 8], logits));
    await expectToResume(await scenarioOf({ stream: { kind: "trace", path: file } }), 2);
  });
});

describe("a simulation stepped from outside", () => {
  it("is over after the last step, and its result holds the steps done when it is stopped before", async () => {
    const scenario = await scenarioOf({ stream: { kind: "gaussian" }, regret: { every: 1 } });
    const kernels = createKernels("wasm");
    const simulation = await createSimulation(scenario, { kernels });
    const regrets: number[] = [];
    while (simulation.steps < 7) regrets.push((await simulation.step())![0].regret!.regret);
    const [stopped] = routerResults(scenario, [await simulation.result()]);
    expect(stopped.steps).toBe(7);
    expect(Array.from(stopped.regrets.regret)).toEqual(regrets);
    expect(stopped.dualRegret!.cumulative).toHaveLength(7);
    expect(stopped.summary.maxVioBatches).toHaveLength(7);
    while (await simulation.step());
    expect(simulation.steps).toBe(23);
    expect(simulation.batch).toBeNull();
    expect(await simulation.step()).toBeNull();
    const [whole] = routerResults(scenario, [await simulation.result()]);
    expect(Array.from(whole.regrets.regret).slice(0, 7)).toEqual(regrets);
    const { summary } = (await simulateRouters(scenario))[0];
    expect(whole.summary).toEqual(summary);
  });

  it("keeps the figures of every step as they were measured", async () => {
    const scenario = await scenarioOf({ stream: { kind: "clusters" }, regret: { every: 3 } });
    const told: StepRecord[][] = scenario.routers.map(() => []);
    const onStep = ({ name }: RouterChoice, record: StepRecord) => {
      told[scenario.routers.findIndex((router) => router.name === name)].push({ ...record });
    };
    const results = await simulateRouters(scenario, { onStep });
    for (const [position, { steps, figureAt, dualRegret }] of results.entries()) {
      for (let step = 0; step < steps; step++) {
        // Dual regret is known when the run is over.
        const late = dualRegret && { dualRegretCumulative: dualRegret.cumulative[step] };
        for (const column of stepColumns) {
          const value = column.value({ ...told[position][step], ...late });
          expect([column.name, figureAt(step, column)]).toEqual([column.name, value]);
        }
      }
    }
  });

  it("is one simulation per router if each has a stream of its own", async () => {
    const scenario = await scenarioOf({ stream: { kind: "adversarial" } });
    await expect(createSimulation(scenario, { kernels: createKernels("wasm") })).rejects.toThrow("one by one");
  });

  it("only routes if nothing is measured, and only takes batches without routers", async () => {
    const scenario = await scenarioOf({ stream: { kind: "clusters" } });
    const kernels = createKernels("wasm");
    const routed = await createSimulation(scenario, { kernels, isMeasured: false });
    const measured = await createSimulation(scenario, { kernels });
    const streamed = await createSimulation(scenario, { kernels, part: batchesOnly });
    while (await measured.step()) {
      expect(await routed.step()).toEqual([]);
      expect(await streamed.step()).toEqual([]);
      expect(streamed.batch!.logits).toEqual(measured.batch!.logits);
      for (const [index, { routed: step }] of routed.runs.entries()) {
        expect(step.assignment.expert).toEqual(measured.runs[index].routed.assignment.expert);
      }
    }
    expect([await routed.step(), await streamed.step()]).toEqual([null, null]);
  });
});
