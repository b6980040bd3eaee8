import { z } from "zod";
import { createNoiseSource, repeatRow } from "./normal-source.ts";
import type { StreamKind } from "./stream.ts";
import { createSyntheticStream } from "./synthetic-stream.ts";

const adversarialOptions = z.strictObject({
  strength: z
    .number()
    .min(0)
    .max(1000)
    .default(2)
    .describe("Logits of the most loaded expert above the least loaded one; 0 leaves the noise alone."),
  noise: z.number().min(0).max(1000).default(1).describe("Standard deviation of the noise on each logit."),
});

export type AdversarialOptions = z.infer<typeof adversarialOptions>;

/**
 * An adaptive adversary that pushes tokens towards the experts which the router under test has loaded most so far. With
 * B_e the load of expert e summed over all steps before n:
 *
 *     Z_te = strength · (B_e − min B) / (max B − min B) + noise · ξ_te,   ξ_te ~ N(0, 1)
 *
 * Only the order and the relative distances of the loads count, not their size: however little a router favours an
 * expert, the next batch favours it by `strength` logits. While all loads are equal, as before the first step, there
 * is noise alone.
 */
export const adversarialKind: StreamKind<AdversarialOptions> = {
  kind: "adversarial",
  summary: "favours the experts that the router under test loaded most so far",
  source: "adaptive online adversary, Ben-David et al. 1994",
  options: adversarialOptions,
  seesLoad: true,
  async create(context, { strength, noise }) {
    const { shape, kernels, random } = context;
    const { tokens, experts } = shape;
    const loadSoFar = new Float64Array(experts);
    const mean = new Float32Array(experts);
    const addNoise = createNoiseSource(kernels, random.derive("noise"));
    const stream = createSyntheticStream(context, (logits) => {
      repeatRow(mean, logits, tokens);
      addNoise(logits, noise, tokens * experts);
    });
    return {
      ...stream,
      observe(load) {
        let least = Number.POSITIVE_INFINITY;
        let most = 0;
        for (let e = 0; e < experts; e++) {
          loadSoFar[e] += load[e];
          least = Math.min(least, loadSoFar[e]);
          most = Math.max(most, loadSoFar[e]);
        }
        const range = most - least;
        for (let e = 0; e < experts; e++) mean[e] = range === 0 ? 0 : (strength * (loadSoFar[e] - least)) / range;
      },
    };
  },
};
