import type { DifferentiableFunction } from "./lbfgs.ts";

export interface AdamOptions {
  /** Number of steps; there is no stopping test. */
  readonly maxIterations: number;
  /** Size of the first step of a variable of scale 1. */
  readonly learningRate: number;
}

/** Minimises functions of up to `dimension` variables with buffers allocated once. */
export interface Adam {
  /**
   * Takes exactly `maxIterations` steps from `x`, and writes the final point into it. `stepScale`, of the same length,
   * multiplies the steps of each variable. The function is called once per step, and never at the final point.
   */
  minimize(f: DifferentiableFunction, x: Float64Array, stepScale: Float64Array, options: AdamOptions): void;
}

const firstDecay = 0.9;
const secondDecay = 0.999;
const epsilon = 1e-8;

/**
 * Adam on a deterministic function, with the decay rates of its paper:
 *
 *     m = β₁·m + (1 − β₁)·g,   v = β₂·v + (1 − β₂)·g²
 *     x = x − scale · rate · (m / (1 − β₁ⁿ)) / (√(v / (1 − β₂ⁿ)) + ε)         β₁ = 0.9, β₂ = 0.999, ε = 1e-8
 *
 * Source: Kingma & Ba 2015, arXiv 1412.6980, algorithm 1.
 */
export function createAdam(dimension: number): Adam {
  const gradient = new Float64Array(dimension);
  const first = new Float64Array(dimension);
  const second = new Float64Array(dimension);
  return {
    minimize(f, x, stepScale, { maxIterations, learningRate }) {
      const ownGradient = gradient.subarray(0, x.length);
      first.fill(0);
      second.fill(0);
      for (let count = 1; count <= maxIterations; count++) {
        f(x, ownGradient);
        const rate = learningRate / (1 - firstDecay ** count);
        const secondScale = 1 / (1 - secondDecay ** count);
        for (let i = 0; i < x.length; i++) {
          first[i] = firstDecay * first[i] + (1 - firstDecay) * gradient[i];
          second[i] = secondDecay * second[i] + (1 - secondDecay) * gradient[i] * gradient[i];
          x[i] -= (stepScale[i] * rate * first[i]) / (Math.sqrt(secondScale * second[i]) + epsilon);
        }
      }
    },
  };
}
