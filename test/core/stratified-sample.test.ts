import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../../src/core/random.ts";
import {
  createStratifiedSample,
  drawEvenly,
  drawWithEnds,
  estimateMean,
  type MeanEstimate,
} from "../../src/core/stratified-sample.ts";

function sampleOf(count: number, size: number, seed: number | string = 1): number[] {
  const sample = createStratifiedSample(count, size, createRandom(seed));
  return Array.from({ length: sample.strata }, (_, stratum) => sample.drawnFrom(stratum));
}

describe("a stratified sample", () => {
  it("has one position of each stratum, the last of which may be shorter", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 1, max: 40 }), fc.nat(), (count, size, seed) => {
        const sample = createStratifiedSample(count, size, createRandom(seed));
        expect(sample.strata).toBe(Math.ceil(count / size));
        const drawn = sampleOf(count, size, seed);
        for (const [stratum, position] of drawn.entries()) {
          expect(Math.floor(position / size)).toBe(stratum);
          expect(position).toBeLessThan(count);
        }
        for (let position = 0; position < count + size; position++) {
          expect(sample.stratumOf(position)).toBe(drawn.indexOf(position));
        }
      }),
      { seed: 1, numRuns: 50 },
    );
  });

  it("is the same in whatever order it is asked, and keeps its whole strata when there are more of them", () => {
    const sample = createStratifiedSample(100, 10, createRandom(1));
    const backwards = Array.from({ length: 10 }, (_, i) => sample.drawnFrom(9 - i)).reverse();
    expect(backwards).toEqual(sampleOf(100, 10));
    expect(sampleOf(1000, 10).slice(0, 10)).toEqual(backwards);
    const endless = createStratifiedSample(Number.POSITIVE_INFINITY, 10, createRandom(1));
    expect(backwards.map((position) => endless.stratumOf(position))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(sampleOf(100, 10, 2)).not.toEqual(backwards);
  });

  it("draws every position of a stratum as often as any other, so that it keeps in step with no period", () => {
    const offsets = new Array<number>(7).fill(0);
    for (const position of sampleOf(70_000, 7)) offsets[position % 7] += 1;
    // Chi-square with 6 degrees of freedom: 22.5 is passed by one in a thousand.
    const expected = 10_000 / 7;
    expect(offsets.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)).toBeLessThan(22.5);
  });
});

it("draws positions with both ends, at most as many as asked for, one of each stretch between", () => {
  expect(drawWithEnds(4, 200, createRandom(1))).toEqual([0, 1, 2, 3]);
  expect(drawWithEnds(1, 200, createRandom(1))).toEqual([0]);
  expect(drawWithEnds(9, 1, createRandom(1))).toEqual([8]);
  expect(drawWithEnds(9, 2, createRandom(1))).toEqual([0, 8]);
  fc.assert(
    fc.property(fc.integer({ min: 4, max: 5000 }), fc.integer({ min: 3, max: 300 }), fc.nat(), (count, most, seed) => {
      const drawn = drawWithEnds(count, most, createRandom(seed));
      expect(drawn).toHaveLength(Math.min(count, most));
      expect(drawn).toEqual(Array.from(new Set(drawn)).sort((a, b) => a - b));
      expect([drawn[0], drawn.at(-1)]).toEqual([0, count - 1]);
      // Two neighbours are less than two stretches apart.
      const stretch = Math.ceil((count - 2) / (most - 2));
      for (const [i, position] of drawn.slice(1).entries())
        expect(position - drawn[i]).toBeLessThanOrEqual(2 * stretch);
    }),
    { seed: 1 },
  );
});

it("draws evenly, each position as likely as the others, though the parts are no whole numbers", () => {
  const random = createRandom(3);
  const drawn = new Array<number>(10).fill(0);
  const rounds = 20_000;
  for (let round = 0; round < rounds; round++) {
    const positions = drawEvenly(10, 4, random);
    expect(positions).toEqual(positions.toSorted((a, b) => a - b));
    for (const position of positions) drawn[position] += 1;
  }
  // 0.4 each, with a standard deviation of at most 0.0035.
  for (const count of drawn) expect(Math.abs(count / rounds - 0.4)).toBeLessThan(0.014);
  expect(drawEvenly(5, 5, random)).toEqual([0, 1, 2, 3, 4]);
});

describe("the estimate of a mean", () => {
  it("weighs the strata by their positions, and leaves out one that has no value yet", () => {
    expect(estimateMean([1, 2, 6], 25, 10)!.mean).toBeCloseTo((10 * 1 + 10 * 2 + 5 * 6) / 25, 15);
    expect(estimateMean([1, 2], 25, 10)!.mean).toBe(1.5);
    expect(estimateMean([], 25, 10)).toBeNull();
  });

  it("has no standard error of a whole population, nor of a single value", () => {
    expect(estimateMean([1, 2, 3], 3, 1)).toEqual({ mean: 2, standardError: null });
    expect(estimateMean([1], 8, 20)).toEqual({ mean: 1, standardError: null });
  });

  it("collapses neighbours into pairs, and the last three into one group", () => {
    // Two pairs of weight 1/4: √((3² + 1²) / 16).
    expect(estimateMean([1, 4, 5, 6], 40, 10)!.standardError).toBeCloseTo(Math.sqrt(10) / 4, 15);
    // A pair, and three whose sample variance is 1, all of weight 1/5: √((3² + 3·1) / 25).
    expect(estimateMean([1, 4, 5, 6, 7], 50, 10)!.standardError).toBeCloseTo(Math.sqrt(12) / 5, 14);
  });

  const noise = (seed: string, count: number, spread: number) => {
    const random = createRandom(seed);
    return Array.from({ length: count }, () => spread * random.normal());
  };
  /** What a plan on every n-th step does to regret, which is what sampling every n-th step measured alone. */
  const periodic = (count: number, period: number, phase: number, spread: number) =>
    noise(`period ${period}`, count, spread).map((x, step) => x + (step % period === phase ? 0 : 1));
  const size = 10;
  const populations: Record<string, readonly number[]> = {
    "equal values, one in each stratum apart": periodic(600, size, 0, 0),
    "the same with noise": periodic(600, size, 0, 0.2),
    "a period of the stratum's size in another phase": periodic(600, size, 7, 0.1),
    "a period of two strata": periodic(600, 2 * size, 3, 0.1),
    "a period next to the stratum's size": periodic(600, size - 1, 0, 0.1),
    noise: noise("noise", 600, 1),
    "a trend": noise("trend", 600, 0.1).map((x, step) => x + step / 100),
    "a beginning unlike the rest": noise("start", 600, 0.3).map((x, step) => x + 5 * Math.exp(-step / 60)),
    "a last stratum of three": periodic(603, size, 0, 0.1),
    "an odd number of strata": periodic(590, size, 0, 0.1),
  };

  it.each(Object.entries(populations))("is unbiased and its standard error not too low: %s", (name, values) => {
    const count = values.length;
    const truth = values.reduce((sum, value) => sum + value, 0) / count;
    const draws = 3000;
    const estimates = Array.from({ length: draws }, (_, draw): MeanEstimate => {
      const drawn = sampleOf(count, size, `${name} ${draw}`);
      return estimateMean(
        drawn.map((position) => values[position]),
        count,
        size,
      )!;
    });
    const errors = estimates.map(({ mean }) => mean - truth);
    const variance = errors.reduce((sum, error) => sum + error ** 2, 0) / draws;
    const bias = errors.reduce((sum, error) => sum + error, 0) / draws;
    expect(Math.abs(bias)).toBeLessThan(4 * Math.sqrt(variance / draws));
    const claimed = estimates.reduce((sum, { standardError }) => sum + standardError! ** 2, 0) / draws;
    // The variance of 3000 draws is itself known to some 3 %.
    expect(claimed / variance).toBeGreaterThan(0.9);
    if (name.startsWith("equal")) expect(claimed / variance).toBeLessThan(1.1);
    // At most the collapsing of a trend: neighbours then differ by as much as a stratum spans.
    expect(claimed / variance).toBeLessThan(name === "a trend" ? 8 : 1.5);
    const covered = estimates.filter(({ standardError }, i) => Math.abs(errors[i]) <= 1.96 * standardError!).length;
    expect(covered / draws).toBeGreaterThan(0.91);
  });

  it("would be wrong by the whole of a period if every n-th position were taken", () => {
    const values = populations["equal values, one in each stratum apart"];
    const everyTenth = values.filter((_, step) => step % size === 0);
    expect(everyTenth.every((value) => value === 0)).toBe(true);
    expect(estimateMean(everyTenth, 600, size)).toEqual({ mean: 0, standardError: 0 });
  });
});
