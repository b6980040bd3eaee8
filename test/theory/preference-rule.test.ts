import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createMoveCounter, loadClasses, movesByLoadClass } from "../../results/theory/measures/token-moves.ts";
import { skewedLogits } from "../support/random-logits.ts";
import { type RepeatedRun, repeatBatch } from "./repeated-batch.ts";

/** The moves of each step `[experts × experts]`, with the loads they answered. */
function movesOf({ steps }: RepeatedRun, tokens: number, experts: number, topK: number) {
  const counter = createMoveCounter(experts, topK);
  return steps.slice(1).map((next, step) => {
    const moves = new Int32Array(experts * experts);
    counter.count(steps[step].expert, next.expert, tokens, moves);
    return { moves, load: steps[step].load };
  });
}

const settings = fc.record({
  experts: fc.integer({ min: 2, max: 8 }),
  slots: fc.nat(),
  tokens: fc.integer({ min: 1, max: 40 }),
  skew: fc.double({ min: 0, max: 2, noNaN: true }),
  updateRate: fc.double({ min: 1e-3, max: 0.5, noNaN: true }),
  seed: fc.nat(),
});

describe("on one and the same batch", () => {
  it("the sign rule moves tokens from more to less loaded classes of experts only, for every K", () => {
    const allowed = new Int32Array(9);
    fc.assert(
      fc.property(settings, ({ experts, slots, tokens, skew, updateRate, seed }) => {
        const topK = 1 + (slots % experts);
        const run = repeatBatch(skewedLogits(`${seed}`, tokens, experts, skew), experts, topK, 12, { updateRate });
        const byClass = new Int32Array(9);
        for (const { moves, load } of movesOf(run, tokens, experts, topK)) {
          movesByLoadClass(moves, load, byClass);
          for (let from = 0; from < 3; from++) {
            for (let to = 0; to < 3; to++) {
              if (to <= from) expect(byClass[from * 3 + to], `${loadClasses[from]} to ${loadClasses[to]}`).toBe(0);
              allowed[from * 3 + to] += byClass[from * 3 + to];
            }
          }
        }
      }),
      { seed: 1, numRuns: 80 },
    );
    // All three permitted kinds of move did happen: overloaded to balanced and underloaded, balanced to underloaded.
    for (const entry of [1, 2, 5]) expect(allowed[entry]).toBeGreaterThan(0);
  });

  it("the proportional rule moves tokens towards strictly less loaded experts only", () => {
    let moved = 0;
    fc.assert(
      fc.property(settings, ({ experts, slots, tokens, skew, updateRate, seed }) => {
        const topK = 1 + (slots % experts);
        const options = { updateRule: "proportional", updateRate: 2 * updateRate };
        const run = repeatBatch(skewedLogits(`${seed}`, tokens, experts, skew), experts, topK, 12, options);
        for (const { moves, load } of movesOf(run, tokens, experts, topK)) {
          for (let from = 0; from < experts; from++) {
            for (let to = 0; to < experts; to++) {
              if (moves[from * experts + to] === 0) continue;
              moved += 1;
              expect(load[to]).toBeLessThan(load[from]);
            }
          }
        }
      }),
      { seed: 1, numRuns: 80 },
    );
    expect(moved).toBeGreaterThan(100);
  });

  it("the rule does not hold between different batches, so that it says something about the same one", () => {
    const [tokens, experts, topK] = [200, 6, 2];
    const first = repeatBatch(skewedLogits("first", tokens, experts, 1), experts, topK, 1, {});
    const second = repeatBatch(skewedLogits("second", tokens, experts, 1), experts, topK, 1, {});
    const steps = [first.steps[0], second.steps[0]];
    const [{ moves, load }] = movesOf({ scores: [], steps }, tokens, experts, topK);
    const byClass = new Int32Array(9);
    movesByLoadClass(moves, load, byClass);
    expect(byClass[2 * 3]).toBeGreaterThan(0);
  });
});
