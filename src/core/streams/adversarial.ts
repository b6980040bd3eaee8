import { z } from "zod";
import { createNormalState, repeatRow } from "./parts/normal-source.ts";
import { defineStreamKind, layersOption } from "./stream.ts";

const adversarialOptions = z.strictObject({
  strength: z
    .number()
    .min(0)
    .max(1000)
    .default(2)
    .describe("Logits by which the most loaded expert exceeds the least loaded one; 0 leaves only the noise."),
  noise: z.number().min(0).max(1000).default(1).describe("Standard deviation of the noise on each logit."),
  layers: layersOption,
});

const adversarialState = z.strictObject({
  step: z.int().min(0),
  load: z.array(z.number()),
  noise: z.array(z.number()),
});

/**
 * An adaptive adversary that pushes tokens towards the experts that the router under test has loaded most so far. B_e
 * is the load of expert e summed over all steps before n:
 *
 *     Z_te = strength · (B_e − min B) / (max B − min B) + noise · ξ_te,   ξ_te ~ N(0, 1)
 *
 * Only the order and the relative distances of the loads count, not their size: however little a router favours an
 * expert, the next batch favours it by `strength` logits. While all loads are equal, as before the first step, there is
 * only noise.
 */
export const adversarialKind = defineStreamKind({
  kind: "adversarial",
  summary: "favours the experts that the router under test loaded most so far",
  source: "adaptive online adversary, Ben-David et al. 1994",
  options: adversarialOptions,
  feedback: "load",
  async create({ shape, kernels, random }, { strength, noise }) {
    const { steps, tokens, experts } = shape;
    const loadSoFar = new Float64Array(experts);
    const mean = new Float32Array(experts);
    const generator = createNormalState(kernels, random.derive("noise"));
    const logits = kernels.allocateFloat32(tokens * experts);
    let step = 0;

    function favourLoaded(): void {
      let least = Number.POSITIVE_INFINITY;
      let most = 0;
      for (let e = 0; e < experts; e++) {
        least = Math.min(least, loadSoFar[e]);
        most = Math.max(most, loadSoFar[e]);
      }
      const range = most - least;
      for (let e = 0; e < experts; e++) mean[e] = range === 0 ? 0 : (strength * (loadSoFar[e] - least)) / range;
    }

    return {
      async next() {
        if (step === steps) return null;
        repeatRow(mean, logits, tokens);
        kernels.addNormal(generator, logits, noise, tokens * experts, logits);
        return { step: step++, tokens, experts, logits };
      },
      observe(load) {
        for (let e = 0; e < experts; e++) loadSoFar[e] += load[e];
        favourLoaded();
      },
      state: () => ({
        fields: { step, load: Array.from(loadSoFar), noise: Array.from(generator) },
        arrays: {},
      }),
      restore({ fields }) {
        const saved = adversarialState.parse(fields);
        step = saved.step;
        loadSoFar.set(saved.load);
        generator.set(saved.noise);
        favourLoaded();
      },
      async close() {},
    };
  },
});
