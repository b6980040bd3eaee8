import { z } from "zod";
import { createMovingCentres, createMovingWeights } from "./parts/moving-mixture.ts";
import { createMixtureStream } from "./parts/synthetic-stream.ts";
import { createTokenMixture, mixtureFields } from "./parts/token-mixture.ts";
import { defineStreamKind, layersOption } from "./stream.ts";

const driftOptions = z.strictObject({
  ...mixtureFields,
  moves: z.enum(["centres", "weights"]).default("centres").describe("What moves: the clusters' centres or weights."),
  mode: z
    .enum(["random-walk", "shift", "periodic"])
    .default("random-walk")
    .describe("How it moves: a little on every step, all at once on given steps, or back and forth."),
  rate: z
    .number()
    .min(0)
    .max(1000)
    .default(0.05)
    .describe("For random-walk: standard deviation of one step, per centre coordinate or logarithm of a weight."),
  steps: z
    .array(z.number().int().min(1))
    .default([])
    .describe("For shift: the steps, counted from 0, whose batch is the first after a shift."),
  period: z.number().int().min(2).max(1e9).default(100).describe("For periodic: steps until everything is back."),
  layers: layersOption,
});

/**
 * A `clusters` mixture whose centres or weights move. Step 0 is the unmoved mixture. Before the batch of step n ≥ 1:
 *
 *     random-walk  everything walks by `rate`
 *     shift        when n is one of `steps`, everything jumps
 *     periodic     everything goes to angle 2π · n / period of a closed path
 *
 * The motions are those of {@link createMovingCentres} and {@link createMovingWeights}.
 */
export const driftKind = defineStreamKind({
  kind: "drift",
  summary: "clusters whose centres or weights walk, shift or swing",
  source: "sudden, incremental and recurring concept drift, Gama et al. 2014",
  options: driftOptions,
  check({ mode, moves, steps, clusters, exponent }, shape) {
    const problems: { path: readonly string[]; message: string }[] = [];
    if (mode === "shift" && steps.length === 0) {
      problems.push({ path: ["steps"], message: "mode shift needs at least one step" });
    }
    for (const [index, step] of steps.entries()) {
      if (mode !== "shift" || step < shape.steps) continue;
      const message = `step ${step} is after the last step, ${shape.steps - 1}`;
      problems.push({ path: ["steps", String(index)], message });
    }
    if (moves === "weights" && clusters === 1) {
      problems.push({ path: ["clusters"], message: "must be at least 2 when weights move" });
    } else if (moves === "weights" && mode !== "random-walk" && exponent === 0) {
      problems.push({ path: ["exponent"], message: `must be above 0: mode ${mode} swaps weights, and all are equal` });
    }
    return problems;
  },
  async create(context, options) {
    const { kernels, random } = context;
    const { mode, rate, period } = options;
    const mixture = createTokenMixture(context, options);
    const part =
      options.moves === "centres"
        ? createMovingCentres(mixture, options, kernels, random)
        : createMovingWeights(mixture, random);
    const shiftSteps = new Set(options.steps);

    function move(step: number): void {
      if (mode === "random-walk" && step > 0) part.walk(rate);
      if (mode === "shift" && shiftSteps.has(step)) part.jump();
      if (mode === "periodic") part.swing((2 * Math.PI * (step % period)) / period);
    }

    return createMixtureStream(context, mixture, move);
  },
});
