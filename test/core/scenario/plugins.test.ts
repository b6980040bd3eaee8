import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { InputError } from "../../../src/core/input-error.ts";
import { metrics } from "../../../src/core/metrics/catalogue.ts";
import { routerKinds } from "../../../src/core/routers/index.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import type { PluginAssignment, PluginMetric, PluginRouterKind } from "../../../src/core/scenario/plugin-guards.ts";
import { addPlugin } from "../../../src/core/scenario/plugins.ts";
import { streamKinds } from "../../../src/core/streams/index.ts";
import { layersOption, type StreamContext, type StreamKind } from "../../../src/core/streams/stream.ts";
import type { TokenBatch } from "../../../src/core/token-batch.ts";
import { createSimulation, type RouterInput, type ScenarioInput, simulate } from "../../../src/index.ts";

const [tokens, experts, topK] = [6, 4, 2];

/** Selects experts t, t + 1, … of token t, with plain arrays of the plugin's own. */
function inTurn(tokensOfBatch: number): PluginAssignment {
  const pairs = Array.from({ length: tokensOfBatch * topK }, (_, pair) => pair);
  return {
    slots: topK,
    expert: Int32Array.from(pairs, (pair) => (Math.floor(pair / topK) + (pair % topK)) % experts),
    gate: Float32Array.from(pairs, () => 0.5),
  };
}

/** A kind of router whose `route` is given. */
function routerKind(kind: string, route: (batch: TokenBatch) => unknown, more: object = {}): PluginRouterKind {
  return {
    kind,
    summary: "for a test",
    source: "this test",
    options: z.strictObject({ rate: z.number().default(2).describe("A number.") }),
    create: () => ({ route: route as () => { assignment: PluginAssignment }, state: () => ({}), restore: () => {} }),
    ...more,
  };
}

function metric(id: string, more: object = {}): PluginMetric {
  return {
    id,
    label: "own",
    unit: "1",
    better: "lower",
    range: "≥ 0",
    bounds: () => [0, 100],
    definition: "the busiest expert's pairs",
    source: "this test",
    step: { file: "steps", measure: ({ load }) => Math.max(...Array.from(load)) },
    run: [{ column: `${id}_largest`, label: "own, largest", taken: "largest" }],
    ...more,
  };
}

function scenarioOf(kind: string, more: object = {}): ScenarioInput {
  return {
    name: "small",
    steps: 3,
    tokens,
    experts,
    topK,
    stream: { kind: "gaussian" },
    routers: [{ kind } as unknown as RouterInput],
    ...more,
  };
}

async function refusalOf(work: () => unknown): Promise<string> {
  const error = await Promise.resolve()
    .then(work)
    .then(
      () => new Error("was accepted"),
      (thrown: Error) => thrown,
    );
  expect(error, error.stack).toBeInstanceOf(InputError);
  return error.message;
}

describe("addPlugin", () => {
  it.each<[string, unknown, string]>([
    ["no default export", undefined, "p.mjs: its default export is missing; expected export default { routers"],
    ["a function", () => ({}), "p.mjs: its default export is not an object"],
    ["another list", { router: [] }, 'p.mjs: router: unknown key. Did you mean "routers"?'],
    ["no list", { routers: routerKind("x", () => null) }, "p.mjs: routers: "],
    [
      "a kind without a name",
      { routers: [{ ...routerKind("x", () => null), kind: undefined }] },
      "routers[0].kind: missing",
    ],
    [
      "a name with blanks",
      { routers: [routerKind("my router", () => null)] },
      "must be lower-case words joined by hyphens",
    ],
    [
      "no create",
      { routers: [routerKind("x", () => null, { create: 1 })] },
      "routers[0].create: 1 is not allowed: must be a function.",
    ],
    [
      "options of another library",
      { routers: [routerKind("x", () => null, { options: {} })] },
      "must be a z.object of zod 4",
    ],
    [
      "an option that all routers have",
      { routers: [routerKind("x", () => null, { options: z.object({ scores: z.string().default("") }) })] },
      "must not have the fields that all kinds share: kind, label, scores",
    ],
    [
      "a router's option without a default",
      { routers: [routerKind("x", () => null, { options: z.object({ rate: z.number() }) })] },
      "must give each option a default, or make it optional",
    ],
    [
      "an option that has no JSON Schema",
      { routers: [routerKind("x", () => null, { options: z.object({ at: z.date().optional() }) })] },
      "must have options that JSON Schema can describe",
    ],
    [
      "a router that moesim has",
      { routers: [routerKind("topk", () => null)] },
      'p.mjs: routers[0].kind: there is a router "topk" already; choose another name',
    ],
    [
      "two of one name",
      { routers: [routerKind("x", () => null), routerKind("x", () => null)] },
      'routers[1].kind: the plugin has two of kind "x"',
    ],
    [
      "a stream that moesim has",
      { streams: [routerKind("gaussian", () => null)] },
      'there is a stream "gaussian" already',
    ],
    ["a metric that moesim has", { metrics: [metric("max_vio")] }, 'metrics[0]: there is a column "max_vio" already'],
    [
      "the column of another metric",
      { metrics: [metric("x", { run: [{ column: "score", label: "s", taken: "last" }] })] },
      'there is a column "score" already',
    ],
    ["a column that is not a metric", { metrics: [metric("top_k")] }, 'there is a column "top_k" already'],
    ["a metric of nothing", { metrics: [metric("x", { step: undefined, run: undefined })] }, "must have step or run"],
    [
      "a value taken from no step",
      { metrics: [metric("x", { step: undefined })] },
      "must have step, from which taken takes",
    ],
    [
      "a column with two values",
      { metrics: [metric("x", { run: [{ column: "y", label: "y", taken: "last", value: () => 1 }] })] },
      "metrics[0].run[0]: ",
    ],
  ])("refuses %s and adds nothing", async (_, plugin, message) => {
    const before = [routerKinds.length, streamKinds.length, metrics.length];
    expect(await refusalOf(() => addPlugin(plugin, "p.mjs"))).toContain(message);
    expect([routerKinds.length, streamKinds.length, metrics.length]).toEqual(before);
  });

  it("says what it added", () => {
    const plugin = { routers: [routerKind("said", () => null)], metrics: [metric("said_metric")] };
    expect(addPlugin(plugin, "p.mjs")).toEqual({
      routers: ["said"],
      streams: [],
      metrics: ["said_metric"],
      columns: ["said_metric_largest"],
    });
  });
});

describe("a plugin's router", () => {
  it("is simulated as moesim's are, whatever its arrays are, and its metric is in steps and summary", async () => {
    const seen: unknown[] = [];
    const kind = routerKind("in-turn", ({ tokens: count }) => ({ assignment: inTurn(count) }), {
      create(_: unknown, options: unknown) {
        seen.push(options);
        return {
          route: ({ tokens: count }: TokenBatch) => ({ assignment: inTurn(count) }),
          state: () => ({}),
          restore: () => {},
        };
      },
    });
    addPlugin({ routers: [kind], metrics: [metric("busiest")] }, "p.mjs");
    const { runs } = await simulate(scenarioOf("in-turn"));
    // Tokens 0 to 5 on experts t and t + 1: expert 0 gets tokens 0, 3 and 4, expert 1 tokens 0, 1, 4 and 5, ….
    expect(runs[0].steps.map(({ load }) => load)).toEqual([0, 1, 2].map(() => [3, 4, 3, 2]));
    const [step] = runs[0].steps as unknown as Record<string, unknown>[];
    expect(step.busiest).toBe(4);
    expect((runs[0].summary as unknown as Record<string, unknown>).busiestLargest).toBe(4);
    expect(runs[0].summary.maxVioGlobal).toBeCloseTo(4 / 3 - 1, 12);
    expect(seen[0]).toEqual({ rate: 2 });
  });

  it("has its options checked, with the nearest key for an unknown one", async () => {
    addPlugin(
      { routers: [routerKind("optional", () => null, { options: z.object({ rate: z.number().default(1) }) })] },
      "p.mjs",
    );
    const refused = (router: object) =>
      refusalOf(() =>
        resolveScenario({ ...scenarioOf("optional"), routers: [{ kind: "optional", ...router }] }, "here"),
      );
    expect(await refused({ rat: 1 })).toContain('routers[0].rat: unknown key. Did you mean "rate"?');
    expect(await refused({ rate: "x" })).toContain('routers[0].rate: "x" is not allowed');
  });

  const wrong = (change: Partial<Record<keyof PluginAssignment, unknown>>) => (batch: TokenBatch) => ({
    assignment: { ...inTurn(batch.tokens), ...change },
  });
  const chosen = (pair: number, expert: number) =>
    wrong({ expert: inTurn(tokens).expert.map((e, at) => (at === pair ? expert : e)) });
  it.each<[string, (batch: TokenBatch) => unknown, string]>([
    ["no-result", () => undefined, "route returned no assignment"],
    [
      "throwing",
      () => {
        throw new TypeError("x is not a function");
      },
      "x is not a function",
    ],
    ["slots", wrong({ slots: 3 }), "assignment.slots: 3 is not allowed; expected 1 to 2"],
    ["short", wrong({ expert: new Int32Array(3) }), "assignment.expert has 3 entries; expected 6 tokens × 2 slots"],
    ["no-gates", wrong({ gate: undefined }), "assignment.gate has 0 entries"],
    ["beyond", chosen(5, 4), "token 2, slot 1: 4 is not an expert; expected 0 to 3, or -1 for none"],
    ["below", chosen(0, -2), "token 0, slot 0: -2 is not an expert"],
    ["twice", chosen(1, 0), "token 0, slot 1: expert 0 is there twice"],
    [
      "nan-gate",
      wrong({ gate: new Float32Array(12).fill(Number.NaN) }),
      "token 0, slot 0: the gate NaN is not a finite number",
    ],
    [
      "wrong-load",
      wrong({ load: Int32Array.of(3, 4, 3, 3) }),
      "assignment.load of expert 3 is 3, but 2 pairs are on it",
    ],
  ])("is refused with its name, the step and the place: %s", async (name, route, message) => {
    addPlugin({ routers: [routerKind(`wrong-${name}`, route)] }, "p.mjs");
    const text = await refusalOf(() => simulate(scenarioOf(`wrong-${name}`)));
    expect(text).toBe(
      `p.mjs: router "wrong-${name}": step 0: ${message}${text.slice(text.indexOf(message) + message.length)}`,
    );
  });

  it("must not select a disabled expert, and may leave slots empty", async () => {
    const disabled = {
      ...routerKind("with-disabled", () => null),
      create: async () => ({
        async next() {
          const logits = new Float32Array(tokens * experts);
          logits[1] = Number.NEGATIVE_INFINITY;
          return { step: 0, tokens, experts, logits };
        },
        async close() {},
      }),
    } as unknown as StreamKind;
    const empty = routerKind("empty", ({ tokens: count }) => ({
      assignment: { ...inTurn(count), expert: inTurn(count).expert.fill(-1) },
    }));
    addPlugin({ streams: [disabled], routers: [empty] }, "p.mjs");
    const stream = { kind: "with-disabled" };
    const text = await refusalOf(() => simulate(scenarioOf("in-turn", { stream })));
    expect(text).toContain("token 0, slot 1: expert 1 is disabled for this token");
    const { runs } = await simulate(scenarioOf("empty", { stream }));
    expect(runs[0].summary.droppedFraction).toBe(1);
  });

  it.each<[string, object, string]>([
    ["stateless", { create: () => ({ route: () => null }) }, "create returned an object without state(), restore()"],
    [
      "created-wrong",
      {
        create: () => {
          throw new Error("no memory");
        },
      },
      "create: no memory",
    ],
    ["biased", { hasBias: true }, "bias has no entries; expected 4, one an expert"],
    ["planned", { plan: "entropic" }, "create returned an object without writePlan()"],
    ["wide", { maxSlots: () => 9 }, "maxSlots returned 9; expected 1 to 4"],
    ["checked", { check: () => [{ path: ["rate"], message: "is odd" }] }, "routers[0].rate: is odd"],
  ])("is refused when it is created: %s", async (name, more, message) => {
    addPlugin({ routers: [routerKind(`made-${name}`, () => null, more)] }, "p.mjs");
    expect(await refusalOf(() => simulate(scenarioOf(`made-${name}`)))).toContain(message);
  });

  it("needs backward if a gate is trained with it, and is then asked at inference too", async () => {
    const training = {
      steps: 4,
      tokens: 16,
      stream: { kind: "training", task: "clusters", evaluate: { every: 2, tokens: 16 } },
      regret: { every: 0 },
    };
    const text = await refusalOf(() => simulate(scenarioOf("in-turn", training)));
    expect(text).toContain('router "in-turn": create returned an object without backward()');
    const asked: string[] = [];
    const create = () => ({
      route: ({ tokens: count }: TokenBatch) => ({ assignment: inTurn(count) }),
      routeAtInference(batch: TokenBatch) {
        asked.push("inference");
        return inTurn(batch.tokens);
      },
      backward: () => void asked.push("backward"),
      state: () => ({}),
      restore: () => {},
    });
    addPlugin({ routers: [routerKind("trained", () => null, { create })] }, "p.mjs");
    const { runs } = await simulate(scenarioOf("trained", training));
    expect(runs[0].summary.evalLoss).toBeGreaterThan(0);
    expect(asked.filter((call) => call === "backward")).toHaveLength(4);
    expect(asked).toContain("inference");
  });

  it("with a bias has dual regret, and resumes from its state to the same results", async () => {
    const options = z.object({ rate: z.number().default(0.05) });
    const kind: PluginRouterKind = {
      kind: "counting",
      summary: "for a test",
      source: "this test",
      options,
      hasBias: true,
      create({ shape, scores, kernels }, given) {
        const { rate } = given as z.output<typeof options>;
        const bias = kernels.allocateFloat64(shape.experts);
        const expert = kernels.allocateInt32(shape.tokens * shape.topK);
        const load = kernels.allocateInt32(shape.experts);
        const gate = new Float32Array(shape.tokens * shape.topK).fill(1);
        let batches = 0;
        return {
          bias,
          route(batch) {
            kernels.selectTopK(batch.logits, scores, bias, batch.tokens, shape.experts, shape.topK, expert, load);
            batches += 1;
            for (let e = 0; e < shape.experts; e++) bias[e] -= (rate * load[e]) / batches;
            return { assignment: { slots: shape.topK, expert, gate, load } };
          },
          state: () => ({ batches, bias: Array.from(bias) }),
          restore(state) {
            batches = state.batches as number;
            bias.set(state.bias as number[]);
          },
        };
      },
    };
    addPlugin({ routers: [kind] }, "p.mjs");
    const scenario = scenarioOf("counting", { steps: 6 });
    const whole = await createSimulation(scenario);
    let state = whole.state();
    for (let step = 0; step < 6; step++) {
      if (step === 3) state = whole.state();
      await whole.step();
    }
    const expected = await whole.result();
    expect(expected[0].summary.dualRegretCumulative).not.toBeNull();
    const resumed = await createSimulation(scenario, { from: structuredClone(state) });
    while ((await resumed.step()) !== null);
    expect((await resumed.result())[0].summary).toEqual(expected[0].summary);
  });
});

describe("a plugin's stream", () => {
  function streamKind(kind: string, next: () => unknown, more: object = {}): StreamKind {
    return {
      kind,
      summary: "for a test",
      source: "this test",
      options: z.object({}),
      create: async () => ({ next: next as () => Promise<TokenBatch>, close: async () => {} }),
      ...more,
    };
  }
  const batch = { step: 0, tokens, experts, logits: Float32Array.from({ length: tokens * experts }, (_, i) => i % 5) };

  it("gives its batches to every router", async () => {
    addPlugin({ streams: [streamKind("fives", () => batch)] }, "p.mjs");
    const { runs } = await simulate(scenarioOf("topk", { stream: { kind: "fives" } }));
    const expected = [0, 0, 0, 0];
    for (let token = 0; token < tokens; token++) {
      const row = Array.from(batch.logits.subarray(token * experts, (token + 1) * experts));
      const order = row.map((_, e) => e).sort((a, b) => row[b] - row[a] || a - b);
      for (const e of order.slice(0, topK)) expected[e] += 1;
    }
    expect(runs[0].steps.map(({ load }) => load)).toEqual([expected, expected, expected]);
  });

  it.each<[string, () => unknown, string]>([
    ["none", () => null, "step 0: there is no batch; the scenario has 3 steps"],
    [
      "wide",
      () => ({ ...batch, experts: 5 }),
      "step 0: a batch of 6 tokens × 5 experts; expected 1 to 6 tokens × 4 experts",
    ],
    ["short", () => ({ ...batch, logits: new Float32Array(7) }), "step 0: 7 logits for 6 tokens × 4 experts"],
    [
      "throwing",
      () => {
        throw new Error("no network");
      },
      "step 0: no network",
    ],
  ])("is refused with its name and the step: %s", async (name, next, message) => {
    addPlugin({ streams: [streamKind(`stream-${name}`, next)] }, "p.mjs");
    const text = await refusalOf(() => simulate(scenarioOf("topk", { stream: { kind: `stream-${name}` } })));
    expect(text).toBe(`p.mjs: stream "stream-${name}": ${message}`);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "is refused with the token and the expert of a logit %s",
    async (logit) => {
      const logits = batch.logits.slice();
      logits[9] = logit;
      const kind = `stream-${String(logit).toLowerCase()}`;
      addPlugin({ streams: [streamKind(kind, () => ({ ...batch, logits }))] }, "p.mjs");
      const text = await refusalOf(() => simulate(scenarioOf("topk", { stream: { kind } })));
      expect(text).toContain(`step 0: token 2, expert 1: the logit ${logit} is not allowed`);
    },
  );

  it("can have layers, each created with its own id and random numbers", async () => {
    const made: (readonly [number | undefined, number])[] = [];
    const kind = streamKind("layered", () => batch, {
      options: z.object({ layers: layersOption }),
      create: async ({ layer, random }: StreamContext) => {
        made.push([layer, random.uniform()]);
        return { next: async () => batch, close: async () => {} };
      },
    });
    addPlugin({ streams: [kind] }, "p.mjs");
    await simulate(scenarioOf("in-turn", { stream: { kind: "layered", layers: 3 } }));
    expect(made.map(([layer]) => layer)).toEqual([0, 1, 2]);
    expect(new Set(made.map(([, number]) => number)).size).toBe(3);
  });

  it("that reacts to the load must have state, restore and observe", async () => {
    addPlugin({ streams: [streamKind("reacting", () => batch, { feedback: "load" })] }, "p.mjs");
    const text = await refusalOf(() => simulate(scenarioOf("topk", { stream: { kind: "reacting" } })));
    expect(text).toContain('stream "reacting": create returned an object without state(), restore(), observe()');
  });
});

describe("a plugin's metric", () => {
  // It is measured in every later run of this thread, so that it is the last one here.
  let isWrong = false;
  beforeAll(() => {
    const measure = () => (isWrong ? Number.NaN : null);
    addPlugin({ metrics: [metric("nan_metric", { step: { file: "diagnostics", measure } })] }, "p.mjs");
  });

  it("may have no value, and is refused with its name when that is no number", async () => {
    const { runs } = await simulate(scenarioOf("topk"));
    expect((runs[0].summary as unknown as Record<string, unknown>).nanMetricLargest).toBeNull();
    isWrong = true;
    const text = await refusalOf(() => simulate(scenarioOf("topk")));
    expect(text).toBe(
      'p.mjs: metric "nan_metric": the value NaN is not allowed; expected a finite number, or null for none',
    );
    isWrong = false;
  });
});

describe("requires", () => {
  it("names what is missing and how to give it, before anything else is checked", async () => {
    const written = { ...scenarioOf("my-router"), requires: ["topk", "my-router", "max_vio", "clusters"] };
    expect(await refusalOf(() => resolveScenario(written, "s.yaml"))).toBe(
      's.yaml: requires: there is no router, stream or metric "my-router". Give the plugin that has it with --plugin FILE.mjs.',
    );
    addPlugin({ routers: [routerKind("my-router", () => null)] }, "p.mjs");
    expect(await resolveScenario(written, "s.yaml")).toMatchObject({ requires: written.requires });
  });

  it("is a list of names", async () => {
    expect(await refusalOf(() => resolveScenario({ ...scenarioOf("topk"), requires: "topk" }, "s.yaml"))).toContain(
      's.yaml: requires: "topk" is not allowed',
    );
  });
});
