import { writeFileSync } from "node:fs";
import path from "node:path";
import { deserialize, serialize } from "node:v8";
import { describe, expect, it } from "vitest";
import { createKernels } from "../../../src/core/kernels/index.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import type { Scenario } from "../../../src/core/scenario/scenario.ts";
import { type PassResult, type PassState, runPass } from "../../../src/core/simulation/pass.ts";
import { type PassPlan, planPasses } from "../../../src/core/simulation/pass-plan.ts";
import { npyBytes } from "../../support/npy.ts";
import { temporaryFolder } from "../../support/program.ts";

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

/** Makes a pass; returns what it told of each step, without what the clock says, and every state that it put down. */
async function passOf(scenario: Scenario, plan: PassPlan, from?: PassState) {
  const records: string[] = [];
  const states: Buffer[] = [];
  const result = await runPass(scenario, plan, {
    kernels: createKernels("wasm"),
    onStep: ({ name }, record) => records.push(JSON.stringify([name, record])),
    keeper: { every: 2, keep: (state) => states.push(serialize(state)) },
    from,
  });
  return { records, states, result: withoutTimes(result) };
}

function withoutTimes({ runs, ...others }: PassResult): object {
  return { ...others, runs: runs.map(({ timing, ...run }) => ({ ...run, timed: timing.routeMs.length })) };
}

/** Whether each pass of `scenario` on `workers` threads comes to the same from wherever it put down its state. */
async function expectToGoOn(scenario: Scenario, workers: number): Promise<void> {
  for (const plan of planPasses(scenario, workers)) {
    const whole = await passOf(scenario, plan);
    for (const [index, state] of whole.states.entries()) {
      const from: PassState = deserialize(state);
      expect(from.steps).toBe(2 * (index + 1));
      const rest = await passOf(scenario, plan, from);
      expect(rest.result).toEqual(whole.result);
      expect(rest.records).toEqual(whole.records.slice(from.steps * plan.routers.length));
      expect(rest.states).toHaveLength(whole.states.length - index - 1);
    }
  }
}

describe("a pass that goes on from where another put down its state", () => {
  it.each([
    ["a stream that can skip", { stream: { kind: "drift", mode: "shift", steps: [4, 15] } }],
    ["a stream that repeats", { stream: { kind: "gaussian", repeat: true } }],
    ["a stream that answers the router's load", { stream: { kind: "adversarial" } }],
    [
      "a gate that learns",
      { stream: { kind: "training", width: 6, hidden: 6 }, capacity: "drop", routers: [{ kind: "noisy-topk" }] },
    ],
    ["optima within a gap, each sought from the last", { stream: { kind: "bursty" }, regret: { every: 1, gap: 1e-3 } }],
    ["no regret", { stream: { kind: "zipf-text" }, regret: { every: 0 } }],
  ])("comes to the same, with %s", async (_, fields) => {
    const scenario = await scenarioOf(fields);
    await expectToGoOn(scenario, 1);
    await expectToGoOn(scenario, 3);
  });

  it("comes to the same, with recorded logits and a shorter last batch", async () => {
    const file = path.join(temporaryFolder(), "logits.npy");
    const tokens = 22 * 40 + 7;
    const logits = Float32Array.from({ length: tokens * 8 }, (_, i) => 2 * Math.sin(i * i));
    writeFileSync(file, npyBytes([tokens, 8], logits));
    await expectToGoOn(await scenarioOf({ stream: { kind: "trace", path: file } }), 2);
  });
});
