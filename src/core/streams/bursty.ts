import { z } from "zod";
import type { RandomSource } from "../random.ts";
import { createMixtureStream } from "./parts/synthetic-stream.ts";
import { createTokenMixture, mixtureFields } from "./parts/token-mixture.ts";
import { defineStreamKind, layersOption } from "./stream.ts";

const burstyOptions = z.strictObject({
  ...mixtureFields,
  burstLength: z
    .number()
    .min(1)
    .max(1e9)
    .default(10)
    .describe("Mean number of steps for which one cluster dominates; 1 changes it on every step."),
  dominance: z
    .number()
    .min(0)
    .max(1)
    .default(0.8)
    .describe("Fraction of tokens drawn only from the dominating cluster; the others follow the Zipf weights."),
  layers: layersOption,
});

/**
 * The Markov chain of the dominating cluster. It starts at a cluster drawn with `weights`; on each later step it moves
 * with probability 1/burstLength to another one, drawn by weight. A burst therefore has geometric length, P(n steps) =
 * (1/burstLength)·(1 − 1/burstLength)^(n−1). Returns the cluster of the next step.
 */
export function createTopicChain(weights: Float64Array, burstLength: number, random: RandomSource): () => number {
  let topic = -1;

  function drawOther(): number {
    let total = 0;
    for (let c = 0; c < weights.length; c++) if (c !== topic) total += weights[c];
    let remaining = random.uniform() * total;
    let last = topic;
    for (let c = 0; c < weights.length; c++) {
      if (c === topic) continue;
      last = c;
      remaining -= weights[c];
      if (remaining < 0) break;
    }
    return last;
  }

  return () => {
    if (topic < 0 || random.uniform() * burstLength < 1) topic = drawOther();
    return topic;
  };
}

/**
 * The `clusters` mixture, Markov-modulated: at any time one cluster, the topic z_n, dominates.
 *
 *     z_n     = z_{n−1} with probability 1 − 1/burstLength, else another cluster by Zipf weight
 *     w_n     = dominance · [c = z_n] + (1 − dominance) · Zipf(clusters, exponent)
 *
 * The batches of one burst share their favourites, so the load is uneven for some steps, and then uneven elsewhere.
 * With dominance 0 this is a `clusters` stream.
 */
export const burstyKind = defineStreamKind({
  kind: "bursty",
  summary: "clusters, one of which dominates for a geometric number of steps",
  source: "Markov-modulated arrivals, Fischer and Meier-Hellstern 1993",
  options: burstyOptions,
  check({ clusters }) {
    if (clusters > 1) return [];
    return [{ path: ["clusters"], message: "must be at least 2, so that another cluster can take over" }];
  },
  async create(context, options) {
    const { dominance, burstLength } = options;
    const mixture = createTokenMixture(context, options);
    const nextTopic = createTopicChain(mixture.zipf, burstLength, context.random.derive("topics"));
    const weights = new Float64Array(options.clusters);
    return createMixtureStream(context, mixture, () => {
      const topic = nextTopic();
      for (let c = 0; c < weights.length; c++) weights[c] = (1 - dominance) * mixture.zipf[c];
      weights[topic] += dominance;
      mixture.setWeights(weights);
    });
  },
});
