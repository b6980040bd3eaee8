import fc from "fast-check";
import { expect, test } from "vitest";
import { createReferenceKernels } from "../../../../src/core/kernels/reference.ts";
import { createRandom } from "../../../../src/core/random.ts";
import { createMovingCentres, createMovingWeights } from "../../../../src/core/streams/parts/moving-mixture.ts";
import type { TokenMixture } from "../../../../src/core/streams/parts/token-mixture.ts";
import { zipfWeights } from "../../../../src/core/streams/parts/zipf.ts";
import { standardErrors } from "../stream-context.ts";

/** A mixture of which only the parts that move exist; `weights` are the ones set last. */
function bareMixture(clusters: number, dimension: number, exponent: number): TokenMixture & { weights: Float64Array } {
  const random = createRandom("start");
  const mixture = {
    centres: Float32Array.from({ length: clusters * dimension }, () => random.normal()),
    zipf: zipfWeights(clusters, exponent),
    weights: zipfWeights(clusters, exponent),
    setWeights: (weights: ArrayLike<number>) => {
      mixture.weights = Float64Array.from(weights);
    },
    writeLogits: () => {},
    passTokens: () => {},
  };
  return mixture;
}

function movingCentres(clusters: number, dimension: number) {
  const mixture = bareMixture(clusters, dimension, 1);
  const options = { clusters, dimension, exponent: 1, spread: 0, scale: 1 };
  return { mixture, part: createMovingCentres(mixture, options, createReferenceKernels(), createRandom(1)) };
}

function movingWeights(clusters: number, exponent: number, seed = 1) {
  const mixture = bareMixture(clusters, 1, exponent);
  return { mixture, part: createMovingWeights(mixture, createRandom(seed)) };
}

function variance(values: ArrayLike<number>): number {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i];
    squares += values[i] ** 2;
  }
  return squares / values.length - (sum / values.length) ** 2;
}

function total(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value);
}

test("walking centres leave their start with a variance of rate² a step", () => {
  const { mixture, part } = movingCentres(2000, 16);
  const start = mixture.centres.slice();
  for (let step = 1; step <= 25; step++) {
    part.walk(0.1);
    if (![1, 5, 25].includes(step)) continue;
    const gone = mixture.centres.map((centre, i) => centre - start[i]);
    // The relative standard error of the variance of n normals is √(2/n).
    expect(Math.abs(variance(gone) / (0.01 * step) - 1)).toBeLessThan(standardErrors * Math.sqrt(2 / gone.length));
  }
});

test("centres jump to an independent standard normal place, a new one each time", () => {
  const { mixture, part } = movingCentres(2000, 16);
  const places = [mixture.centres.slice()];
  for (let jump = 0; jump < 2; jump++) {
    part.jump();
    places.push(mixture.centres.slice());
  }
  const tolerance = standardErrors / Math.sqrt(32_000);
  for (const [a, b] of [
    [0, 1],
    [1, 2],
    [0, 2],
  ]) {
    const correlation = places[a].reduce((sum, value, i) => sum + value * places[b][i], 0) / 32_000;
    expect(Math.abs(correlation)).toBeLessThan(tolerance);
  }
  for (const place of places) expect(Math.abs(variance(place) - 1)).toBeLessThan(tolerance * Math.SQRT2);
});

test("centres swing on a closed path of constant variance", () => {
  const { mixture, part } = movingCentres(2000, 16);
  const start = mixture.centres.slice();
  for (const angle of [0.5, 2, Math.PI]) {
    part.swing(angle);
    expect(Math.abs(variance(mixture.centres) - 1)).toBeLessThan(standardErrors * Math.sqrt(2 / 32_000));
  }
  expect(variance(mixture.centres.map((centre, i) => centre + start[i]))).toBeLessThan(1e-12);
  part.swing(0);
  expect(mixture.centres).toEqual(start);
});

test("the logarithms of walking weights leave their start with a variance of rate² a step", () => {
  const { mixture, part } = movingWeights(20_000, 1);
  for (let step = 1; step <= 16; step++) {
    part.walk(0.2);
    if (![1, 4, 16].includes(step)) continue;
    const gone = mixture.weights.map((weight, c) => Math.log(weight / mixture.zipf[c]));
    expect(Math.abs(variance(gone) / (0.04 * step) - 1)).toBeLessThan(standardErrors * Math.sqrt(2 / 20_000));
  }
});

test("a jump gives every cluster the weight of another", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 40 }), fc.integer(), (clusters, seed) => {
      const { mixture, part } = movingWeights(clusters, 1, seed);
      for (let jump = 0; jump < 3; jump++) {
        const before = mixture.weights;
        part.jump();
        for (let c = 0; c < clusters; c++) expect(mixture.weights[c]).not.toBe(before[c]);
        expect(mixture.weights.toSorted()).toEqual(mixture.zipf.toSorted());
      }
    }),
  );
});

test("weights swing to those of other clusters and back, and always sum to 1", () => {
  const { mixture, part } = movingWeights(7, 1);
  part.swing(Math.PI);
  const opposite = mixture.weights;
  expect(opposite.toSorted()).toEqual(mixture.zipf.toSorted());
  for (let c = 0; c < 7; c++) expect(opposite[c]).not.toBe(mixture.zipf[c]);
  part.swing(1);
  expect(total(mixture.weights)).toBeCloseTo(1, 14);
  part.swing(Math.PI / 2);
  for (let c = 0; c < 7; c++) expect(mixture.weights[c]).toBeCloseTo((mixture.zipf[c] + opposite[c]) / 2, 14);
  part.swing(0);
  expect(mixture.weights).toEqual(mixture.zipf);
});
