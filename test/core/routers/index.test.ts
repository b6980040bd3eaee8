import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RoutingShape, ScoreKind } from "../../../src/core/assignment.ts";
import { findRouterKind, routerKinds } from "../../../src/core/routers/index.ts";
import type { RouterKind } from "../../../src/core/routers/router.ts";
import { backends } from "../../support/backends.ts";
import { countLoad, largestDifference } from "../../support/plain.ts";
import { randomLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest, type Decision } from "../../support/router-under-test.ts";

// Gates are float32: half a unit in the last place of numbers below 1, and the kernels' relative error of 1e-6.
const gateTolerance = 2e-6;
// Float32 sums of a few slopes of up to 5, a normal weight, with a relative error of 1e-6 each.
const gradientTolerance = 2e-5;
const runs = { seed: 1, numRuns: 15 };

/** Routers that look at an expert's index, or draw numbers per index: moving an expert changes what they choose. */
const dependsOnIndex = new Set(["noisy-topk", "grouped-topk", "hash", "random", "round-robin"]);
/**
 * Routers that solve a problem without a unique solution: at most C tokens an expert, which equal tokens cannot share,
 * and no convexity, so that the last bit of an affinity can lead to another support.
 */
const hasManySolutions = new Set(["scot"]);
/** Routers whose choice is not the largest of anything that equal logits make equal. */
const hasOwnOrder = new Set(["noisy-topk", "base", "expert-threshold", "hash", "random", "round-robin"]);
/** Routers whose choice does not come from affinities, which a shift of a row leaves alone. */
const ignoresAffinities = new Set(["hash"]);
/** Routers whose choice for a token depends on its place in the batch, or on what is drawn for the tokens before it. */
const knowsPosition = new Set(["random", "round-robin"]);
/** A token may have any number of experts. */
const hasFreeSlots = new Set(["expert-choice", "expert-threshold"]);
/** The gates of these are affinities, which sum to anything. */
const hasRawGates = new Set(["expert-choice", "expert-threshold", "base"]);
/** A slot may stay empty where filling it would cost other tokens more than it gains. */
const mayLeaveSlots = new Set(["base"]);

/** 8 and 16 experts suit the default groups of `grouped-topk`; the small ones are the edges. */
const shapes: fc.Arbitrary<RoutingShape> = fc.constantFrom(1, 2, 3, 5, 8, 16).chain((experts) =>
  fc.record({
    tokens: fc.integer({ min: 1, max: 12 }),
    experts: fc.constant(experts),
    topK: fc.integer({ min: 1, max: experts }),
    capacityFactor: fc.constantFrom(1, 1.25, 2),
  }),
);
const edgeShapes: RoutingShape[] = [
  { tokens: 1, experts: 1, topK: 1, capacityFactor: 1 },
  { tokens: 9, experts: 1, topK: 1, capacityFactor: 1 },
  { tokens: 1, experts: 8, topK: 1, capacityFactor: 1 },
  { tokens: 1, experts: 8, topK: 8, capacityFactor: 1 },
  { tokens: 7, experts: 8, topK: 8, capacityFactor: 1 },
  { tokens: 7, experts: 8, topK: 1, capacityFactor: 1 },
];
const scoreKinds = fc.constantFrom<ScoreKind>("softmax", "sigmoid");
const everyScoreKind: readonly ScoreKind[] = ["softmax", "sigmoid", "sqrt-softplus", "logits"];
/** The groups that a token may use can have fewer than K enabled experts. */
const limitsGroups = new Set(["grouped-topk"]);
const seeds = fc.nat(10_000);

/** The options of `kind` that differ from the defaults, under which few of a test's batches would be selected steps. */
const optionsOf = ({ kind }: RouterKind) => (kind === "ssr" ? { select: { mode: "probability", p: 0.5 } } : {});

function accepts(kind: RouterKind, shape: RoutingShape): boolean {
  return (kind.check?.(kind.options.parse({}), shape) ?? []).length === 0;
}

/** Shapes that `kind` accepts with its default options. */
const shapesOf = (kind: RouterKind) => shapes.filter((shape) => accepts(kind, shape));

/** A plan for one token is 1/E everywhere, whatever the logits: its ties go to the lower index. */
const shapesWithoutTies = (kind: RouterKind) =>
  shapesOf(kind).filter((shape) => kind.plan === undefined || shape.tokens > 1);

/** `steps` batches, the last one of any length up to the others'. */
function batchesOf(shape: RoutingShape, seed: number, steps: number, lastTokens = shape.tokens, scale = 2) {
  return Array.from({ length: steps }, (_, step) =>
    randomLogits(`${seed}/${step}`, step === steps - 1 ? lastTokens : shape.tokens, shape.experts, scale),
  );
}

/** What is wrong with a decision on `tokens` tokens, in words; a list so that one comparison covers a batch. */
function faults(kind: string, shape: RoutingShape, tokens: number, { expert, gate, load }: Decision): string[] {
  const found: string[] = [];
  if (expert.length !== tokens) found.push(`${expert.length} rows`);
  if (String(load) !== String(countLoad(expert, shape.experts))) found.push(`load ${load}`);
  expert.forEach((row, token) => {
    const chosen = row.filter((e) => e >= 0);
    const sum = gate[token].reduce((total, weight) => total + weight, 0);
    if (new Set(chosen).size !== chosen.length) found.push(`token ${token}: expert twice in ${row}`);
    if (!row.every((e) => Number.isInteger(e) && e >= -1 && e < shape.experts)) found.push(`token ${token}: ${row}`);
    gate[token].forEach((weight, slot) => {
      const isWeight = weight >= 0 && weight <= 1 + gateTolerance;
      if (!isWeight || (row[slot] < 0 && weight !== 0)) found.push(`token ${token}: gate ${weight} of ${row[slot]}`);
    });
    if (hasFreeSlots.has(kind)) return;
    if (row.length !== shape.topK) found.push(`token ${token}: ${row.length} slots`);
    if (chosen.length !== shape.topK && !mayLeaveSlots.has(kind)) found.push(`token ${token}: ${row}`);
    if (hasRawGates.has(kind)) return;
    if (!(Math.abs(sum - 1) < gateTolerance * shape.topK)) found.push(`token ${token}: gates sum to ${sum}`);
  });
  return found;
}

function expectSoundDecision(kind: string, shape: RoutingShape, tokens: number, decision: Decision): void {
  expect(faults(kind, shape, tokens, decision)).toEqual([]);
}

describe("the registry of routers", () => {
  it("finds each kind by its name and no other", () => {
    for (const kind of routerKinds) expect(findRouterKind(kind.kind)).toBe(kind);
    expect(new Set(routerKinds.map(({ kind }) => kind)).size).toBe(routerKinds.length);
    expect(findRouterKind("no-such-router")).toBeUndefined();
  });

  it.each(routerKinds.map((kind) => [kind.kind, kind] as const))(
    "knows of %s a summary, a source, and a default and a description of every option",
    (_, kind) => {
      expect(kind.summary).not.toBe("");
      expect(kind.source).not.toBe("");
      expect(() => kind.options.parse({})).not.toThrow();
      expect(() => kind.options.parse({ noSuchOption: 1 })).toThrow();
      for (const [name, option] of Object.entries(kind.options.shape)) {
        expect((option as { description?: string }).description, `description of ${name}`).toBeTruthy();
      }
    },
  );
});

const routersOnBackends = backends.flatMap((kernels) =>
  routerKinds.map((kind) => ({ name: kind.kind, backend: kernels.backend, kind, kernels })),
);

describe.each(routersOnBackends)("$name on $backend kernels", ({ name, kind, kernels }) => {
  it("assigns distinct experts with gates that are weights, and counts its loads, in full and shorter batches", () => {
    fc.assert(
      fc.property(shapesOf(kind), scoreKinds, seeds, fc.nat(11), (shape, scores, seed, fewer) => {
        const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind), scores });
        for (const logits of batchesOf(shape, seed, 4, Math.max(1, shape.tokens - fewer))) {
          expectSoundDecision(name, shape, logits.length / shape.experts, router.route(logits));
        }
      }),
      runs,
    );
  });

  it.each(edgeShapes.filter((shape) => accepts(kind, shape)))("holds at the edge %o", (shape) => {
    for (const scores of ["softmax", "sigmoid"] as const) {
      const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind), scores });
      for (const logits of [...batchesOf(shape, 1, 3), new Float32Array(shape.tokens * shape.experts)]) {
        expectSoundDecision(name, shape, shape.tokens, router.route(logits));
      }
    }
  });

  it("holds for logits up to 1e4 in magnitude", () => {
    const extreme = fc.constantFrom(-1e4, -100, -1, 0, 1, 88.5, 1e4);
    const cases = shapesOf(kind).chain((shape) =>
      fc.record({
        shape: fc.constant(shape),
        logits: fc.array(extreme, {
          minLength: shape.tokens * shape.experts,
          maxLength: shape.tokens * shape.experts,
        }),
      }),
    );
    fc.assert(
      fc.property(cases, scoreKinds, ({ shape, logits }, scores) => {
        const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind), scores });
        for (let step = 0; step < 2; step++) {
          const decision = router.route(Float32Array.from(logits));
          expectSoundDecision(name, shape, shape.tokens, decision);
          const gradient = new Float32Array(logits.length);
          router.backward(randomLogits("weights", shape.tokens, decision.expert[0].length), gradient);
          expect(gradient.every(Number.isFinite)).toBe(true);
        }
      }),
      runs,
    );
  });

  it("gives no token a disabled expert, all the enabled ones up to K, and disabled experts no gradient and no mass", () => {
    const cases = shapesOf(kind).chain((shape) =>
      fc.record({
        shape: fc.constant(shape),
        scores: fc.constantFrom(...everyScoreKind),
        seed: seeds,
        share: fc.constantFrom(0.1, 0.5, 0.9),
        // One expert that no token can have, or none.
        column: fc.integer({ min: -1, max: shape.experts - 1 }),
      }),
    );
    fc.assert(
      fc.property(cases, ({ shape, scores, seed, share, column }) => {
        const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind), scores });
        batchesOf(shape, seed, 4).forEach((logits, step) => {
          const drawn = randomLogits(`disabled ${seed}/${step}`, shape.tokens, shape.experts);
          // Normal draws: about `share` of them are below its quantile.
          const limit = { 0.1: -1.28, 0.5: 0, 0.9: 1.28 }[share]!;
          const masked = logits.map((z, i) => (drawn[i] < limit || i % shape.experts === column ? -Infinity : z));
          const { expert, gate, load } = router.route(masked);
          expect(load).toEqual(countLoad(expert, shape.experts));
          expert.forEach((row, token) => {
            const own = masked.subarray(token * shape.experts, (token + 1) * shape.experts);
            const chosen = row.filter((e) => e >= 0);
            expect(chosen.every((e) => own[e] !== -Infinity)).toBe(true);
            expect(gate[token].every(Number.isFinite)).toBe(true);
            gate[token].forEach((weight, slot) => {
              if (row[slot] < 0) expect(weight).toBe(0);
            });
            if (hasFreeSlots.has(name) || mayLeaveSlots.has(name) || limitsGroups.has(name)) return;
            expect(chosen.length).toBe(Math.min(shape.topK, own.filter((z) => z !== -Infinity).length));
          });
          const slots = expert[0].length;
          const gradient = new Float32Array(masked.length);
          router.backward(randomLogits("weights", shape.tokens, slots), gradient);
          expect(gradient.every((slope, i) => Number.isFinite(slope) && (masked[i] !== -Infinity || slope === 0))).toBe(
            true,
          );
          if (kind.plan === undefined) return;
          router.plan().forEach((row, token) => {
            const own = masked.subarray(token * shape.experts, (token + 1) * shape.experts);
            expect(row.every((mass, e) => mass >= 0 && (own[e] !== -Infinity || mass === 0))).toBe(true);
            const sum = row.reduce((total, mass) => total + mass, 0);
            // A plan with sparse columns can leave a token out.
            const hasMass = own.some((z) => z !== -Infinity) && !(name === "scot" && sum === 0);
            expect(Math.abs(sum - (hasMass ? 1 : 0))).toBeLessThan(gateTolerance * shape.experts);
          });
        });
        const bias = router.router.bias ?? new Float64Array(0);
        expect(bias.every(Number.isFinite)).toBe(true);
      }),
      runs,
    );
  });

  it("routes at inference without a trace in its state, the same token alike whatever the others are", () => {
    fc.assert(
      fc.property(shapesOf(kind), scoreKinds, seeds, fc.integer({ min: 0, max: 3 }), (shape, scores, seed, before) => {
        const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind), scores });
        const batches = batchesOf(shape, seed, before + 1);
        for (const logits of batches.slice(0, before)) router.route(logits);
        const state = JSON.stringify(router.router.state());
        const logits = batches[before];
        const decision = router.infer(logits);
        expectSoundDecision(name, shape, shape.tokens, decision);
        expect(JSON.stringify(router.router.state())).toBe(state);
        expect(decision.solver).toBeUndefined();
        if (knowsPosition.has(name) || (name === "expert-threshold" && before === 0)) return;
        for (let token = 0; token < shape.tokens; token++) {
          const alone = router.infer(logits.slice(token * shape.experts, (token + 1) * shape.experts));
          const chosen = ({ expert, gate }: Decision, row: number) =>
            expert[row].flatMap((e, slot) => (e < 0 ? [] : [[e, gate[row][slot]]]));
          expect(chosen(alone, 0)).toEqual(chosen(decision, token));
        }
      }),
      runs,
    );
  });

  it("never writes to the logits", () => {
    fc.assert(
      fc.property(shapesOf(kind), seeds, (shape, seed) => {
        const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind) });
        for (const logits of batchesOf(shape, seed, 3)) {
          router.route(logits);
          if (kind.plan !== undefined) router.plan();
          expect(router.seenLogits().every((logit, entry) => Object.is(logit, logits[entry]))).toBe(true);
        }
      }),
      runs,
    );
  });

  it("goes on identically in a fresh router, of another seed, that its state was restored into", () => {
    fc.assert(
      fc.property(shapesOf(kind), seeds, fc.integer({ min: 0, max: 4 }), (shape, seed, before) => {
        const batches = batchesOf(shape, seed, before + 4);
        const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind), seed: "first" });
        for (const logits of batches.slice(0, before)) router.route(logits);
        const saved = JSON.parse(JSON.stringify(router.router.state()));
        const fresh = createRouterUnderTest(kind, shape, {
          kernels,
          options: optionsOf(kind),
          seed: "second",
          firstStep: before,
        });
        fresh.router.restore(saved);
        for (const logits of batches.slice(before)) expect(fresh.route(logits)).toEqual(router.route(logits));
        expect(fresh.router.state()).toEqual(router.router.state());
      }),
      runs,
    );
  });

  it("adds a finite gradient, whose rows sum to 0 under softmax: a constant added to a row changes no gate", () => {
    fc.assert(
      fc.property(shapesOf(kind), scoreKinds, seeds, fc.boolean(), (shape, scores, seed, trained) => {
        const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind), scores, trained });
        for (const logits of batchesOf(shape, seed, 3)) {
          const { expert } = router.route(logits);
          const weights = randomLogits(`weights ${seed}`, expert.length, expert[0].length);
          // What is beside a slot without an expert is nobody's.
          expert.flat().forEach((e, slot) => {
            if (e < 0) weights[slot] = Number.NaN;
          });
          const gradient = new Float32Array(shape.tokens * shape.experts);
          router.backward(weights, gradient);
          const start = randomLogits(`start ${seed}`, shape.tokens, shape.experts);
          const sum = start.slice();
          router.backward(weights, sum);
          sum.forEach((value, entry) => {
            expect(Math.abs(value - (start[entry] + gradient[entry]))).toBeLessThan(gradientTolerance);
          });
          expert.forEach((row, token) => {
            const own = Array.from(gradient.subarray(token * shape.experts, (token + 1) * shape.experts));
            expect(own.every(Number.isFinite)).toBe(true);
            if (!trained && row.every((e) => e < 0)) expect(own.every((value) => value === 0)).toBe(true);
            if (scores === "sigmoid") return;
            expect(Math.abs(own.reduce((total, value) => total + value, 0))).toBeLessThan(gradientTolerance);
          });
        }
      }),
      runs,
    );
  });

  it("routes on as if there had been no gradient", () => {
    const shape = { tokens: 10, experts: 8, topK: 2, capacityFactor: 1 };
    const [first, second] = [1, 2].map(() => createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind) }));
    for (const logits of batchesOf(shape, 7, 12)) {
      const decision = first.route(logits);
      expect(second.route(logits)).toEqual(decision);
      const slots = decision.expert[0].length;
      second.backward(randomLogits("weights", shape.tokens, slots), new Float32Array(shape.tokens * shape.experts));
    }
    expect(second.router.state()).toEqual(first.router.state());
  });

  it("hands out a state that its later batches do not change", () => {
    const shape = { tokens: 10, experts: 8, topK: 2, capacityFactor: 1 };
    const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind) });
    const batches = batchesOf(shape, 5, 6);
    for (const logits of batches.slice(0, 3)) router.route(logits);
    const saved = router.router.state();
    const copy = structuredClone(saved);
    for (const logits of batches.slice(3)) router.route(logits);
    expect(saved).toEqual(copy);
  });

  it("refuses a state that is not its own", () => {
    const shape = { tokens: 4, experts: 8, topK: 2, capacityFactor: 1 };
    expect(() =>
      createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind) }).router.restore({ noSuchField: 1 }),
    ).toThrow();
  });

  it("is the same router twice with the same seed", () => {
    const shape = { tokens: 10, experts: 8, topK: 2, capacityFactor: 1 };
    const [first, second] = [1, 2].map(() => createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind) }));
    for (const logits of batchesOf(shape, 9, 6)) expect(first.route(logits)).toEqual(second.route(logits));
  });

  it("routes a short batch the same, however long the batches it was made for", () => {
    fc.assert(
      fc.property(shapesOf(kind), seeds, fc.integer({ min: 1, max: 9 }), (shape, seed, longer) => {
        const exact = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind) });
        const roomy = createRouterUnderTest(
          kind,
          { ...shape, tokens: shape.tokens + longer },
          {
            kernels,
            options: optionsOf(kind),
          },
        );
        for (const logits of batchesOf(shape, seed, 2)) expect(roomy.route(logits)).toEqual(exact.route(logits));
      }),
      runs,
    );
  });

  it.runIf(kind.plan !== undefined)("writes a finite plan with rows that sum to 1 on every step", () => {
    fc.assert(
      fc.property(shapesOf(kind), seeds, fc.constantFrom(1, 100), (shape, seed, scale) => {
        const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind) });
        for (const logits of batchesOf(shape, seed, 3, shape.tokens, scale)) {
          router.route(logits);
          for (const row of router.plan()) {
            expect(row.every((mass) => mass >= 0)).toBe(true);
            const sum = row.reduce((total, mass) => total + mass, 0);
            expect(Math.abs(sum - 1)).toBeLessThan(gateTolerance * shape.experts);
          }
        }
      }),
      runs,
    );
  });

  it.runIf(!dependsOnIndex.has(name) && !hasManySolutions.has(name))(
    "permutes its choice when the experts' columns are permuted",
    () => {
      const cases = shapesWithoutTies(kind).chain((shape) => {
        const experts = [...Array(shape.experts).keys()];
        return fc.record({
          shape: fc.constant(shape),
          // Column e of the permuted logits is column order[e] of the first.
          order: fc.shuffledSubarray(experts, { minLength: shape.experts, maxLength: shape.experts }),
        });
      });
      const byExpert = (row: number[], weights: number[]) =>
        row
          .map((expert, slot) => ({ expert, weight: weights[slot] }))
          .filter(({ expert }) => expert >= 0)
          .sort((a, b) => a.expert - b.expert);
      fc.assert(
        fc.property(cases, scoreKinds, seeds, ({ shape, order }, scores, seed) => {
          const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind), scores });
          const permuted = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind), scores });
          for (const logits of batchesOf(shape, seed, 4)) {
            const decision = router.route(logits);
            const moved = permuted.route(
              logits.map((_, entry) => {
                const column = entry % shape.experts;
                return logits[entry - column + order[column]];
              }),
            );
            moved.expert.forEach((row, token) => {
              const back = byExpert(
                row.map((expert) => (expert < 0 ? -1 : order[expert])),
                moved.gate[token],
              );
              const expected = byExpert(decision.expert[token], decision.gate[token]);
              expect(back.map(({ expert }) => expert)).toEqual(expected.map(({ expert }) => expert));
              // Sums over experts are added in another order.
              const weights = [back, expected].map((pairs) => pairs.map(({ weight }) => weight));
              expect(largestDifference([weights[0]], [weights[1]])).toBeLessThan(gateTolerance);
            });
          }
        }),
        runs,
      );
    },
  );

  it.runIf(!ignoresAffinities.has(name) && !hasManySolutions.has(name))(
    "does not notice a constant added to a token's logits under softmax",
    () => {
      // Multiples of 1/4096 and whole numbers, all below 32: the shifted logits are exact in float32.
      const cases = shapesOf(kind).chain((shape) =>
        fc.record({
          shape: fc.constant(shape),
          shift: fc.array(fc.integer({ min: -8, max: 8 }), { minLength: shape.tokens, maxLength: shape.tokens }),
        }),
      );
      fc.assert(
        fc.property(cases, seeds, ({ shape, shift }, seed) => {
          const router = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind), scores: "softmax" });
          const shifted = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind), scores: "softmax" });
          for (const logits of batchesOf(shape, seed, 4)) {
            const grid = logits.map((logit) => Math.round(4096 * logit) / 4096);
            const expected = router.route(grid);
            const actual = shifted.route(grid.map((logit, entry) => logit + shift[Math.floor(entry / shape.experts)]));
            expect(actual.expert).toEqual(expected.expert);
            expect(largestDifference(actual.gate, expected.gate)).toBeLessThan(gateTolerance);
          }
        }),
        runs,
      );
    },
  );

  const breaksTies = !hasOwnOrder.has(name) && !hasManySolutions.has(name);
  it.runIf(breaksTies)(
    "chooses the first experts of a token, or tokens of an expert, when all logits are equal",
    () => {
      const shape = { tokens: 6, experts: 8, topK: 3, capacityFactor: 1 };
      const { expert } = createRouterUnderTest(kind, shape, { kernels, options: optionsOf(kind) }).route(
        new Float32Array(48),
      );
      if (hasFreeSlots.has(name)) {
        // C = ⌈6 · 3 / 8⌉ = 3 tokens for each expert: the first three, by all of them.
        expect(expert.map((row) => row.filter((e) => e >= 0).length)).toEqual([8, 8, 8, 0, 0, 0]);
      } else {
        expect(expert).toEqual(new Array(6).fill([0, 1, 2]));
      }
    },
  );
});
