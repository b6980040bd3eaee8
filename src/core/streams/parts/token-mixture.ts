import { z } from "zod";
import type { StreamContext } from "../stream.ts";
import { createAliasTable } from "./alias-table.ts";
import { createNoiseSource, createNormalRows } from "./normal-source.ts";
import { createUniformSource } from "./uniform-source.ts";
import { zipfWeights } from "./zipf.ts";

/** Options of every stream whose tokens come from a mixture of clusters. */
export const mixtureFields = {
  clusters: z.number().int().min(1).max(65536).default(16).describe("Clusters (topics) that tokens come from."),
  dimension: z
    .number()
    .int()
    .min(1)
    .max(1024)
    .default(8)
    .describe("Length of a token's hidden vector; limits the rank of the logits. Cost grows in proportion."),
  exponent: z
    .number()
    .min(0)
    .max(10)
    .default(1.2)
    .describe("Zipf exponent of the clusters' weights; 0 makes all clusters equally frequent."),
  spread: z
    .number()
    .min(0)
    .max(1000)
    .default(0.3)
    .describe("Standard deviation, per coordinate, of tokens around their centre; the centres themselves have 1."),
  scale: z
    .number()
    .min(0)
    .max(1000)
    .default(1.5)
    .describe("Factor on every logit; the logits' standard deviation is about scale · √(1 + spread²)."),
};

const mixtureOptions = z.strictObject(mixtureFields);

export type MixtureOptions = z.infer<typeof mixtureOptions>;

/** A mixture of Gaussian clusters seen through a random linear router. Its centres and weights can be moved. */
export interface TokenMixture {
  /** `[clusters × dimension]`, the centres that {@link writeLogits} uses; may be written to. */
  readonly centres: Float32Array;
  /** `[clusters]`, the initial Zipf weights, descending; never changes. */
  readonly zipf: Float64Array;
  /** Replaces the weights `[clusters]`, non-negative with a positive sum. */
  setWeights(weights: ArrayLike<number>): void;
  /** Draws the next tokens and writes their logits `[tokens × experts]`. */
  writeLogits(logits: Float32Array): void;
  /** Draws the next tokens and discards them. */
  passTokens(): void;
}

/**
 * Tokens x_t ∈ R^dimension of a Gaussian mixture with Zipf weights, and their logits under a linear router W:
 *
 *     c_t  ~ Zipf(clusters, exponent)
 *     x_t  = μ_{c_t} + spread · ξ_t,      μ_ce, ξ_td ~ N(0, 1)
 *     Z_t  = scale · x_t · W / √dimension,   W_de ~ N(0, 1)
 *
 * Centres and W are drawn once, each from its own source, so that one does not depend on the size of the other. Tokens
 * of a cluster prefer the same experts: a frequent cluster overloads its favourites, and an expert that no cluster
 * favours stays idle. At the default dimension a batch costs about as much as its plain top-k.
 */
export function createTokenMixture({ shape, kernels, random }: StreamContext, options: MixtureOptions): TokenMixture {
  const { tokens, experts } = shape;
  const { clusters, dimension, exponent, spread, scale } = options;

  const centres = kernels.allocateFloat32(clusters * dimension);
  createNormalRows(kernels, random.derive("centres"), clusters, dimension)(centres);

  const router = kernels.allocateFloat32(dimension * experts);
  createNormalRows(kernels, random.derive("router"), dimension, experts)(router);
  const factor = scale / Math.sqrt(dimension);
  for (let entry = 0; entry < router.length; entry++) router[entry] *= factor;

  const zipf = zipfWeights(clusters, exponent);
  const table = createAliasTable(zipf);
  const chooseUniform = createUniformSource(random.derive("cluster choice"));
  const addNoise = createNoiseSource(kernels, random.derive("noise"));
  const cluster = kernels.allocateInt32(tokens);
  const hidden = kernels.allocateFloat32(tokens * dimension);

  return {
    centres,
    zipf,
    setWeights: table.setWeights,
    writeLogits(logits) {
      for (let token = 0; token < tokens; token++) cluster[token] = table.draw(chooseUniform());
      kernels.gatherRows(centres, cluster, tokens, dimension, hidden);
      addNoise(hidden, spread, tokens * dimension);
      kernels.multiply(hidden, router, logits, tokens, dimension, experts, false);
    },
    passTokens() {
      for (let token = 0; token < tokens; token++) chooseUniform();
      addNoise(hidden, spread, tokens * dimension);
    },
  };
}
