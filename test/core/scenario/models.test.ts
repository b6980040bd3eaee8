import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { loadKernels } from "../../../src/core/kernels/index.ts";
import { createRandom } from "../../../src/core/random.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import { findModel, modelDescriptions, modelNames } from "../../../src/core/scenario/models.ts";
import { parseOverride, withOverrides } from "../../../src/core/scenario/overrides.ts";
import { toScenarioFile } from "../../../src/core/scenario/scenario.ts";
import { sweepCells } from "../../../src/core/scenario/sweep.ts";
import { createRouter } from "../../../src/core/simulation/router-run.ts";
import { models, simulate } from "../../../src/index.ts";
import "../../support/platform.ts";

const minimal = { name: "small", stream: { kind: "gaussian" } } as const;

function sigmoid(z: number): number {
  return 1 / (1 + Math.exp(-z));
}

function softmax(logits: readonly number[]): number[] {
  const largest = Math.max(...logits);
  const weights = logits.map((z) => Math.exp(z - largest));
  const sum = weights.reduce((total, weight) => total + weight);
  return weights.map((weight) => weight / sum);
}

/** Positions of the `count` largest, the largest first. */
function largest(values: readonly number[], count: number): number[] {
  return values
    .map((_, position) => position)
    .sort((a, b) => values[b] - values[a] || a - b)
    .slice(0, count);
}

/** The gates of the selected experts, as pairs. */
type Choice = readonly (readonly [expert: number, gate: number])[];
type Rule = (logits: readonly number[], bias: readonly number[]) => Choice;

/** Gates `scores` of `experts`, divided by their sum if `renormalize`, times `scale`. */
function gated(scores: readonly number[], experts: readonly number[], renormalize: boolean, scale: number): Choice {
  const sum = renormalize ? experts.reduce((total, expert) => total + scores[expert], 0) : 1;
  return experts.map((expert) => [expert, (scores[expert] / sum) * scale]);
}

/** Keeps `values` in the `topGroups` of `groups` with the largest `groupScore`, −∞ elsewhere. */
function keepGroups(
  values: readonly number[],
  groups: number,
  topGroups: number,
  groupScore: (members: number[]) => number,
): number[] {
  const size = values.length / groups;
  const scores = Array.from({ length: groups }, (_, g) => groupScore(values.slice(g * size, (g + 1) * size)));
  const kept = largest(scores, topGroups);
  return values.map((value, position) =>
    kept.includes(Math.floor(position / size)) ? value : Number.NEGATIVE_INFINITY,
  );
}

/** The gates as the published models compute them, in float64, written from their papers' and repositories' rules. */
const rules: Record<string, { readonly rule: Rule; readonly hasBias?: true }> = {
  // Sigmoid; groups by the sum of their two largest biased scores; gates without the bias, over their sum, times 2.5.
  "deepseek-v3": {
    hasBias: true,
    rule(logits, bias) {
      const scores = logits.map(sigmoid);
      const biased = scores.map((score, expert) => score + bias[expert]);
      const kept = keepGroups(biased, 8, 4, (members) => {
        const [first, second] = largest(members, 2);
        return members[first] + members[second];
      });
      return gated(scores, largest(kept, 8), true, 2.5);
    },
  },
  // Softmax over all; groups by their largest score; probabilities as they are, times 16.
  "deepseek-v2": {
    rule(logits) {
      const scores = softmax(logits);
      const kept = keepGroups(scores, 8, 3, (members) => Math.max(...members));
      return gated(scores, largest(kept, 6), false, 16);
    },
  },
  "kimi-k2": {
    hasBias: true,
    rule(logits, bias) {
      const scores = logits.map(sigmoid);
      const biased = scores.map((score, expert) => score + bias[expert]);
      return gated(scores, largest(biased, 8), true, 2.827);
    },
  },
  // Softmax over all eight, the two largest divided by their sum.
  "mixtral-8x7b": { rule: (logits) => gated(softmax(logits), largest(softmax(logits), 2), true, 1) },
  // norm_topk_prob is false: the gates sum to less than 1.
  "qwen2-57b-a14b": { rule: (logits) => gated(softmax(logits), largest(softmax(logits), 8), false, 1) },
  // The largest logits first, then a softmax over them.
  "gpt-oss-120b": {
    rule(logits) {
      const experts = largest(logits, 4);
      const gates = softmax(experts.map((expert) => logits[expert]));
      return experts.map((expert, slot) => [expert, gates[slot]]);
    },
  },
  // The largest logit; the others are −∞ before the sigmoid, which makes their gates 0.
  "llama-4-scout": {
    rule(logits) {
      const [expert] = largest(logits, 1);
      return [[expert, sigmoid(logits[expert])]];
    },
  },
  "ernie-4.5-300b-a47b": {
    hasBias: true,
    rule(logits, bias) {
      const scores = softmax(logits);
      const biased = scores.map((score, expert) => score + bias[expert]);
      return gated(scores, largest(biased, 8), true, 1);
    },
  },
  "minimax-m2": {
    hasBias: true,
    rule(logits, bias) {
      const scores = logits.map(sigmoid);
      const biased = scores.map((score, expert) => score + bias[expert]);
      return gated(scores, largest(biased, 8), true, 1);
    },
  },
  "longcat-flash": {
    hasBias: true,
    rule(logits, bias) {
      const scores = softmax(logits);
      const biased = scores.map((score, expert) => score + bias[expert]);
      return gated(scores, largest(biased, 12), false, 6);
    },
  },
  "granite-3-3b-a800m": {
    rule(logits) {
      const experts = largest(logits, 8);
      const gates = softmax(experts.map((expert) => logits[expert]));
      return experts.map((expert, slot) => [expert, gates[slot]]);
    },
  },
};

describe("the routers of the models", () => {
  it.each(Object.keys(rules))("select and weigh as %s does", async (name) => {
    const { rule, hasBias } = rules[name];
    const model = findModel(name)!;
    const { experts, topK } = model;
    const tokens = 200;
    const random = createRandom(name);
    // Of the size of the biases that training ends with: they move some selections, and not all.
    const bias = Array.from({ length: experts }, () =>
      hasBias ? (model.scores === "softmax" ? 0.2 / experts : 0.05) * random.normal() : 0,
    );
    const logits = Float32Array.from({ length: tokens * experts }, () => 1.5 * random.normal());
    const written = withOverrides(
      { ...minimal, model: name, steps: 1, tokens },
      hasBias ? [{ path: ["routers", "0", "initialBias"], value: bias }] : [],
    );
    const scenario = await resolveScenario(written, "here");
    const kernels = await loadKernels("wasm");
    const batch = kernels.allocateFloat32(tokens * experts);
    batch.set(logits);
    const router = createRouter(scenario, scenario.routers[0], kernels);
    const { assignment } = router.route({ step: 0, tokens, experts, logits: batch });
    let moved = 0;
    for (let token = 0; token < tokens; token++) {
      const row = Array.from(logits.subarray(token * experts, (token + 1) * experts));
      const expected = new Map(rule(row, bias));
      const slots = Array.from({ length: topK }, (_, slot) => token * topK + slot);
      const selected = slots.map((slot) => assignment.expert[slot]);
      expect(selected.toSorted((a, b) => a - b)).toEqual(Array.from(expected.keys()).sort((a, b) => a - b));
      // Gates are float32.
      for (const slot of slots) {
        const gate = expected.get(assignment.expert[slot])!;
        expect(Math.abs(assignment.gate[slot] - gate)).toBeLessThan(1e-6 * Math.max(gate, 0.01));
      }
      const unbiased = new Set(rule(row, new Array(experts).fill(0)).map(([expert]) => expert));
      if (selected.some((expert) => !unbiased.has(expert))) moved += 1;
    }
    if (hasBias) expect(moved).toBeGreaterThan(tokens / 20);
    else expect(moved).toBe(0);
  });
});

describe("model", () => {
  it.each(modelNames)("%s sets experts, topK, scores and a valid router", async (name) => {
    const { experts, topK, scores, router, moeLayers, layers } = findModel(name)!;
    const scenario = await resolveScenario({ ...minimal, model: name }, "here");
    expect(scenario).toMatchObject({ model: name, experts, topK, measure: { scores } });
    expect(scenario.routers).toHaveLength(1);
    const { kind, ...options } = router;
    expect(scenario.routers[0]).toMatchObject({ kind, scores, options });
    expect(moeLayers).toBeLessThanOrEqual(layers);
    expect(await resolveScenario(toScenarioFile(scenario), "again")).toEqual(scenario);
  });

  it("has no name twice, and a source for each", () => {
    expect(new Set(modelNames).size).toBe(modelNames.length);
    for (const { source, exact } of modelDescriptions) {
      expect(source).toMatch(/config\.json of [\w.-]+\/[\w.-]+$/);
      expect(exact).not.toBe("");
    }
    expect(models.list()).toBe(modelDescriptions);
    expect(models.find("deepseek-r1")?.name).toBe("deepseek-v3");
    expect(models.find("nothing")).toBeUndefined();
  });

  it("gives way to what the scenario has itself", async () => {
    const changes = { model: "deepseek-v3", experts: 64, topK: 4, scores: "softmax" };
    const own = await resolveScenario({ ...minimal, ...changes }, "here");
    expect(own).toMatchObject({ experts: 64, topK: 4, measure: { scores: "softmax" } });
    expect(own.routers).toMatchObject([{ kind: "grouped-topk", scores: "softmax" }]);
    const routers = [{ kind: "ssr" }, { kind: "topk" }];
    const others = await resolveScenario({ ...minimal, model: "deepseek-v3", routers }, "here");
    expect(others.routers.map(({ kind, scores }) => [kind, scores])).toEqual([
      ["ssr", "sigmoid"],
      ["topk", "sigmoid"],
    ]);
    expect(others.experts).toBe(256);
    // As programs write a field that they do not set.
    expect(await resolveScenario({ ...minimal, model: "mixtral-8x7b", experts: undefined }, "here")).toMatchObject({
      experts: 8,
    });
  });

  it("lets overrides change its router, wherever among them the model is", async () => {
    const overrides = ["routers.grouped-topk.updateRate=0.5", "routers.0.topGroups=8", "model=deepseek-v3"].map(
      parseOverride,
    );
    const written = { ...minimal, model: "mixtral-8x7b" };
    const scenario = await resolveScenario(withOverrides(written, overrides), "here");
    expect(scenario.routers[0]).toMatchObject({
      kind: "grouped-topk",
      options: { updateRate: 0.5, topGroups: 8, groups: 8, gateScale: 2.5 },
    });
    // The model's own is as before.
    expect(findModel("deepseek-v3")!.router).toMatchObject({ topGroups: 4, updateRate: 0.001 });
  });

  it("can be swept, with an option of its router", async () => {
    const written = {
      ...minimal,
      model: "glm-4.5",
      sweep: { "routers.alf-lb.updateRate": [0, 0.1], model: ["kimi-k2", "glm-4.5-air"] },
    };
    const cells = await sweepCells(written, "here", 10);
    expect(
      cells.map(({ scenario }) => [scenario.model, scenario.experts, scenario.routers[0].options.updateRate]),
    ).toEqual([
      ["kimi-k2", 384, 0],
      ["glm-4.5-air", 128, 0],
      ["kimi-k2", 384, 0.1],
      ["glm-4.5-air", 128, 0.1],
    ]);
  });

  it("refuses a name that it does not know, and suggests the nearest", async () => {
    const error: Error = await resolveScenario({ ...minimal, model: "depseek-v3" }, "here").catch((thrown) => thrown);
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toContain('model: "depseek-v3" is not allowed. Did you mean "deepseek-v3"?');
    await expect(resolveScenario(minimal, "here")).rejects.toThrow(/routers: missing/);
  });

  it("works in the library", async () => {
    const { runs } = await simulate({ ...minimal, model: "gpt-oss-20b", steps: 2, tokens: 16 });
    expect(runs).toHaveLength(1);
    expect(runs[0].kind).toBe("topk");
    expect(runs[0].steps[0].load).toHaveLength(32);
  });
});
