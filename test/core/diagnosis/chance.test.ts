import { deviation, mean } from "d3-array";
import seedrandom from "seedrandom";
import { describe, expect, it } from "vitest";
import { createChanceImbalance } from "../../../src/core/diagnosis/chance.ts";

/** The largest load of a unit / the mean − 1 in drawn batches, with K distinct experts per token: mean and standard error. */
function sampled(experts: number, unitSizes: readonly number[], topK: number, tokens: number, repeats: number) {
  const random = seedrandom(`${experts} ${unitSizes.length} ${topK} ${tokens}`);
  const unitOf = unitSizes.flatMap((size, unit) => new Array<number>(size).fill(unit));
  const order = Array.from({ length: experts }, (_, e) => e);
  const values: number[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    const load = new Float64Array(unitSizes.length);
    for (let token = 0; token < tokens; token++) {
      for (let slot = 0; slot < topK; slot++) {
        const other = slot + Math.floor(random() * (experts - slot));
        [order[slot], order[other]] = [order[other], order[slot]];
        load[unitOf[order[slot]]] += 1;
      }
    }
    values.push((Math.max(...load) * unitSizes.length) / (tokens * topK) - 1);
  }
  return { drawn: mean(values)!, error: deviation(values)! / Math.sqrt(repeats) };
}

const single = (experts: number) => new Array<number>(experts).fill(1);

describe("the imbalance of balanced routing", () => {
  it.each<[string, number, readonly number[], number, number]>([
    ["few experts, large batches", 16, single(16), 2, 512],
    ["many experts, one pair each", 256, single(256), 8, 32],
    ["half of the experts for each token", 8, single(8), 4, 200],
    ["two experts", 2, single(2), 1, 400],
    ["GPUs with several experts", 64, new Array<number>(8).fill(8), 6, 261],
    ["GPUs with unequal shares", 30, [4, 4, 4, 4, 4, 4, 3, 3], 4, 300],
  ])("is that of drawn batches: %s", (_, experts, unitSizes, topK, tokens) => {
    const chance = createChanceImbalance({ experts, unitSizes, topK })(tokens);
    const { drawn, error } = sampled(experts, unitSizes, topK, tokens, 400);
    // Three standard errors of the sample, and what the function promises.
    expect(Math.abs(chance - drawn)).toBeLessThan(3 * error + 0.03 * drawn);
  });

  it("is nothing if there is no choice", () => {
    expect(createChanceImbalance({ experts: 8, unitSizes: single(8), topK: 8 })(100)).toBe(0);
    expect(createChanceImbalance({ experts: 1, unitSizes: [1], topK: 1 })(100)).toBe(0);
    expect(createChanceImbalance({ experts: 64, unitSizes: [64], topK: 2 })(100)).toBe(0);
  });

  it("leaves only the unequal shares of GPUs in endless batches", () => {
    const chance = createChanceImbalance({ experts: 30, unitSizes: [4, 4, 4, 4, 4, 4, 3, 3], topK: 4 });
    expect(chance(4_000_000)).toBeCloseTo(4 / (30 / 8) - 1, 1);
  });

  it("falls with the root of the tokens, far beyond the sizes that it sums up", () => {
    const chance = createChanceImbalance({ experts: 256, unitSizes: single(256), topK: 8 });
    expect(chance(4e9) / chance(4e7)).toBeCloseTo(0.1, 3);
    expect(chance(1e6) / chance(1e8)).toBeCloseTo(10, 1);
  });
});
