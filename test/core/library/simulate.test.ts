import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { scenarioSchema } from "../../../src/core/scenario/schema.ts";
import {
  createSimulation,
  expandSweep,
  InputError,
  loadScenario,
  type ScenarioInput,
  type SimulationState,
  type StepResult,
  simulate,
} from "../../../src/index.ts";
import { moesim, readCsv, temporaryFolder } from "../../support/program.ts";

const scenario: ScenarioInput = {
  name: "library",
  seed: 3,
  steps: 8,
  tokens: 40,
  experts: 8,
  topK: 2,
  ranks: 2,
  capacityFactor: 1.25,
  regret: { every: 3 },
  stream: { kind: "drift" },
  routers: [
    { kind: "topk" },
    { kind: "alf-lb", label: "fast bias", updateRate: 0.02 },
    { kind: "ssr", select: { mode: "every", n: 3 } },
    { kind: "scot" },
    { kind: "random" },
  ],
};

function written(input: object): string {
  const file = path.join(temporaryFolder(), "scenario.json");
  writeFileSync(file, JSON.stringify(input));
  return file;
}

const camelCase = (column: string) => column.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** The rows' cells as the library names and types them; `without` are columns that a row of the library does not have. */
function asFields(rows: Record<string, string>[], without: readonly string[]): Record<string, number | null>[] {
  return rows.map((row) =>
    Object.fromEntries(
      Object.entries(row)
        .filter(([column]) => !without.includes(column))
        .map(([column, cell]) => [camelCase(column), cell === "" ? null : Number(cell)]),
    ),
  );
}

it("gives the very numbers that the command line writes, under the same names", async () => {
  const out = path.join(temporaryFolder(), "run");
  expect(moesim(["run", written(scenario), "--out", out, "--quiet"]).code).toBe(0);
  const { runs } = await simulate(scenario);
  const who = ["scenario", "router", "kind", "seed"];
  const summary = asFields(readCsv(path.join(out, "summary.csv")), [...who, "steps", "tokens", "experts", "top_k"]);
  expect(summary).toHaveLength(5);
  for (const [index, fields] of summary.entries()) expect(runs[index].summary).toMatchObject(fields);

  const steps = runs.flatMap((run) => run.steps);
  for (const file of ["steps.csv", "diagnostics.csv"]) {
    const rows = asFields(readCsv(path.join(out, file)), who);
    expect(rows).toHaveLength(5 * 8);
    for (const [index, fields] of rows.entries()) expect(steps[index]).toMatchObject(fields);
  }
  const loads = readCsv(path.join(out, "loads.csv")).map(({ load }) => Number(load));
  expect(steps.flatMap(({ load }) => load)).toEqual(loads);
});

it("returns plain data: nothing is lost on the way through JSON, and nothing is overwritten", async () => {
  const seen: [string, string][] = [];
  const { runs, scenario: resolved } = await simulate(scenario, {
    onStep: ({ name }, step) => seen.push([name, JSON.stringify(step)]),
  });
  expect(JSON.parse(JSON.stringify(runs))).toEqual(runs);
  expect(JSON.parse(JSON.stringify(resolved))).toEqual(resolved);
  // What a step was when it was shown is what it is at the end, but for the dual regret, which waits for the last one.
  for (const run of runs) {
    const shown = seen.filter(([name]) => name === run.name).map(([, text]): StepResult => JSON.parse(text));
    expect(run.steps.map((step) => ({ ...step, dualRegretCumulative: null }))).toEqual(shown);
  }
  expect(seen.slice(0, 6).map(([name]) => name)).toEqual(["topk", "fast bias", "ssr", "scot", "random", "topk"]);
});

it("certifies the dual regret of routers with a bias, and of no others", async () => {
  const { runs } = await simulate(scenario);
  expect(runs.filter(({ dualRegret }) => dualRegret !== null).map(({ name }) => name)).toEqual(["fast bias"]);
  const [, { dualRegret, steps, summary }] = runs;
  expect(dualRegret!.keptFraction).toBe(1);
  expect(dualRegret!.gap).toBeLessThanOrEqual(1e-6);
  expect(steps.at(-1)!.dualRegretCumulative).toBe(summary.dualRegretCumulative);
  expect(summary.dualRegretCumulative).toBeGreaterThan(0);
});

it("ends at the step on which its signal is aborted, with the signal's reason", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  let steps = 0;
  const run = simulate(scenario, {
    signal: controller.signal,
    onStep: ({ kind }, { step }) => {
      steps += 1;
      if (kind === "topk" && step === 2) controller.abort(reason);
    },
  });
  await expect(run).rejects.toBe(reason);
  expect(steps).toBe(2 * 5 + 1);
  await expect(simulate(scenario, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

it.each([
  ["an unknown key", { ...scenario, topk: 2 }],
  ["an option that does not fit the sizes", { ...scenario, routers: [{ kind: "scot", maxTokens: 1 }] }],
])("refuses %s in the words of the command line", async (_, input) => {
  const file = written(input);
  const { code, stderr } = moesim(["validate", file]);
  expect(code).toBe(2);
  const error = await simulate(input as ScenarioInput).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(InputError);
  expect(stderr).toContain((error as Error).message.replace(/^scenario/, file));
});

it.each([[null], [undefined], [3], ["scenarios/quickstart.yaml"], [[]]])(
  "refuses %j, which is no scenario",
  async (input) => {
    await expect(simulate(input as unknown as ScenarioInput)).rejects.toThrow(InputError);
  },
);

it("refuses options that do not exist, and null for them or for a state", async () => {
  const wrong = { onstep: () => undefined } as object;
  await expect(simulate(scenario, wrong)).rejects.toThrow('simulate: onstep: unknown option. Did you mean "onStep"?');
  await expect(createSimulation(scenario, wrong)).rejects.toThrow(/createSimulation: onstep: unknown option/);
  await expect(createSimulation(scenario, null as unknown as object)).rejects.toThrow(/options: null is not allowed/);
  const none = { from: null } as unknown as object;
  await expect(createSimulation(scenario, none)).rejects.toThrow("from: this is not the state of a simulation");
  for (const options of [wrong, none]) {
    await expect(createSimulation(scenario, options)).rejects.toBeInstanceOf(InputError);
  }
});

it("refuses a backend that does not exist", async () => {
  await expect(simulate(scenario, { backend: "cuda" as "wasm" })).rejects.toThrow(
    /^backend: "cuda" is not allowed. Allowed: wasm, reference, tfjs, tfjs-gpu\.$/,
  );
});

it("computes with TensorFlow.js where it is asked to, and says where that does not load", async () => {
  const [tensors, wasm] = await Promise.all([simulate(scenario, { backend: "tfjs" }), simulate(scenario)]);
  const loads = ({ runs }: typeof wasm) => runs.map(({ steps }) => steps.map(({ load }) => load));
  expect(loads(tensors)).toEqual(loads(wasm));
  await expect(simulate(scenario, { backend: "tfjs-gpu" })).rejects.toThrow(InputError);
});

it("takes a loaded scenario, and checks it again where it was changed", async () => {
  const loaded = await loadScenario(written(scenario), ["routers.topk.renormalize=false", "steps=4"]);
  expect(loaded.routers[0].options).toEqual({ renormalize: false, gateScale: 1 });
  const { scenario: resolved, runs } = await simulate(loaded);
  expect(resolved).toEqual(loaded);
  expect(runs[0].steps).toHaveLength(4);
  const other = await simulate({ ...loaded, seed: 4 });
  expect(other.runs[4].steps[0].load).not.toEqual(runs[4].steps[0].load);
  await expect(simulate({ ...loaded, topK: 9 })).rejects.toThrow(/topK: 9 is more than the 8 experts/);
});

it("runs the cells of a sweep one by one", async () => {
  const rates = [0.001, 0.1];
  const cells = await expandSweep({ ...scenario, seeds: [1, 2], sweep: { "routers.fast bias.updateRate": rates } });
  expect(cells.map(({ parameters, scenario: { seed } }) => [parameters[0].value, seed])).toEqual([
    [0.001, 1],
    [0.001, 2],
    [0.1, 1],
    [0.1, 2],
  ]);
  const { runs } = await simulate(cells[3].scenario);
  expect(runs[1].options).toMatchObject({ updateRate: 0.1 });
  await expect(expandSweep({ ...scenario, seeds: [1, 2, 3] }, 2)).rejects.toThrow(InputError);
});

it("has a field for every field of a scenario file, and no other", () => {
  // The compiler refuses this object where the interface lacks one of its keys, or knows one more.
  const fields: Record<keyof Required<ScenarioInput>, true> = {
    name: true,
    description: true,
    requires: true,
    model: true,
    seed: true,
    steps: true,
    tokens: true,
    experts: true,
    topK: true,
    scores: true,
    capacityFactor: true,
    capacity: true,
    dropBy: true,
    rerouteDepth: true,
    ranks: true,
    placement: true,
    deadWindow: true,
    loadSamples: true,
    stream: true,
    routers: true,
    measure: true,
    regret: true,
    sweep: true,
    seeds: true,
  };
  expect(Object.keys(fields).sort()).toEqual(Object.keys(scenarioSchema().shape).sort());
});

/** Steps to the end; returns all rows. */
async function stepAll(simulation: Awaited<ReturnType<typeof createSimulation>>): Promise<StepResult[][]> {
  const rows: StepResult[][] = [];
  for (let step = await simulation.step(); step !== null; step = await simulation.step()) rows.push([...step]);
  return rows;
}

const withoutTimes = (outcomes: readonly object[]) =>
  outcomes.map((outcome) => ({ ...outcome, routeMs: null, trainMs: null, steps: null }));

it.each(["drift", "adversarial", "training"] as const)(
  "steps a %s scenario to what simulate finds, and resumes from a state between any two steps",
  async (kind) => {
    const options = kind === "training" ? { width: 6, hidden: 6 } : {};
    const stepped: ScenarioInput = { ...scenario, stream: { kind, ...options } as ScenarioInput["stream"] };
    const { runs } = await simulate(stepped);
    const simulation = await createSimulation(stepped);
    const states: SimulationState[] = [];
    const rows: StepResult[][] = [];
    for (let step = await simulation.step(); step !== null; step = await simulation.step()) {
      rows.push([...step]);
      states.push(simulation.state());
    }
    expect(rows.map((step) => step.map((row) => ({ ...row, dualRegretCumulative: null })))).toEqual(
      rows.map((_, step) => runs.map((run) => ({ ...run.steps[step], dualRegretCumulative: null }))),
    );
    const outcomes = withoutTimes(await simulation.result());
    expect(outcomes).toEqual(withoutTimes(runs));
    await simulation.close();
    for (const state of [states[0], states[5]]) {
      const resumed = await createSimulation(simulation.scenario, { from: structuredClone(state) });
      expect(resumed.steps).toBe(state.steps);
      expect(await stepAll(resumed)).toEqual(rows.slice(state.steps));
      expect(withoutTimes(await resumed.result())).toEqual(outcomes);
      await resumed.close();
    }
  },
);

it("refuses the state of another scenario, what is no state, and a result before the first step", async () => {
  const simulation = await createSimulation(scenario);
  await expect(simulation.result()).rejects.toThrow(new InputError("result: no step has been simulated yet"));
  const from = simulation.state();
  await expect(createSimulation({ ...scenario, seed: 4 }, { from })).rejects.toThrow("another scenario");
  const none = {} as SimulationState;
  await expect(createSimulation(scenario, { from: none })).rejects.toThrow("this is not the state of a simulation");
});

it("lets timers have their turn, so that a signal can end a simulation that waits for nothing", async () => {
  const signal = AbortSignal.timeout(100);
  const endless: ScenarioInput = { ...scenario, steps: 1_000_000, regret: { every: 0 } };
  await expect(simulate(endless, { signal })).rejects.toThrow(/timeout/i);
});

const layered: ScenarioInput = {
  ...scenario,
  steps: 4,
  stream: { kind: "bursty", layers: 3 },
  routers: [{ kind: "topk" }, { kind: "noisy-topk" }],
};

it("simulates layers as the command line does: a run per router and layer, and the means", async () => {
  const out = path.join(temporaryFolder(), "layers");
  expect(moesim(["run", written(layered), "--out", out, "--quiet"]).code).toBe(0);
  const seen: string[] = [];
  const { runs, means } = await simulate(layered, {
    onStep: ({ name }, { layer, step }) => void (step === 0 && seen.push(`${layer} ${name}`)),
  });
  expect(seen).toEqual([0, 1, 2].flatMap((layer) => [`${layer} topk`, `${layer} noisy-topk`]));
  const who = ["scenario", "router", "kind", "seed", "steps", "tokens", "experts", "top_k"];
  const rows = readCsv(path.join(out, "layers.csv"));
  expect(runs.map(({ name, layer }) => [name, String(layer)])).toEqual(
    rows.map(({ router, layer }) => [router, layer]),
  );
  for (const [index, fields] of asFields(rows, [...who, "layer"]).entries()) {
    expect(runs[index].summary).toMatchObject(fields);
    expect(runs[index].steps.map(({ layer }) => layer)).toEqual(Array(4).fill(runs[index].layer));
  }
  const summary = asFields(readCsv(path.join(out, "summary.csv")), who);
  for (const [index, { maxVioWorstLayer, ...fields }] of summary.entries()) {
    expect(means![index].summary).toMatchObject(fields);
    expect(means![index].worstLayer).toBe(maxVioWorstLayer);
  }
});

it("steps one layer, and resumes it", async () => {
  const { runs } = await simulate(layered);
  const simulation = await createSimulation(layered, { layer: 2 });
  expect(simulation.layer).toBe(2);
  await simulation.step();
  const from = structuredClone(simulation.state());
  await simulation.close();
  const resumed = await createSimulation(simulation.scenario, { from });
  const rows = await stepAll(resumed);
  expect(rows.map(([, noisy]) => noisy.load)).toEqual(
    runs
      .find(({ name, layer }) => name === "noisy-topk" && layer === 2)!
      .steps.slice(1)
      .map(({ load }) => load),
  );
  expect((await resumed.result()).map(({ layer }) => layer)).toEqual([2, 2]);
  await resumed.close();
  await expect(createSimulation(layered, { layer: 1, from })).rejects.toThrow("the state of layer 2, not of layer 1");
  await expect(createSimulation(layered)).rejects.toThrow("layer: missing; the scenario has the layers 0-2");
  await expect(createSimulation(layered, { layer: 3 })).rejects.toThrow("layer: 3; the scenario has the layers 0-2");
  await expect(createSimulation(scenario, { layer: 1 })).rejects.toThrow("the scenario has one layer");
});
