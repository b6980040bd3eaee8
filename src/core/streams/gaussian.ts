import { shuffler } from "d3-array";
import { z } from "zod";
import type { RandomSource } from "../random.ts";
import { createNoiseSource, repeatRow } from "./parts/normal-source.ts";
import { createSyntheticStream, repeatOption } from "./parts/synthetic-stream.ts";
import { defineStreamKind, layersOption } from "./stream.ts";

const gaussianOptions = z.strictObject({
  popularity: z
    .enum(["uniform", "zipf"])
    .default("zipf")
    .describe("Law of the experts' popularity, drawn once: uniform in [0, 1), or 1/rank^exponent in random order."),
  exponent: z
    .number()
    .min(0)
    .max(10)
    .default(1)
    .describe("For zipf: decay of popularity with rank; 0 makes all experts equally popular."),
  skew: z
    .number()
    .min(0)
    .max(1000)
    .default(2)
    .describe("Logits by which an expert of popularity 1 exceeds one of popularity 0; 0 makes all experts equal."),
  temperature: z
    .number()
    .min(0)
    .max(1000)
    .default(1)
    .describe("Standard deviation of the noise on each logit; 0 makes all tokens equal."),
  repeat: repeatOption,
  layers: layersOption,
});

export type GaussianOptions = z.infer<typeof gaussianOptions>;

/** Popularity `[experts]` in [0, 1], in an order independent of the experts' indices. */
function drawPopularity(
  { popularity, exponent }: GaussianOptions,
  experts: number,
  random: RandomSource,
): Float64Array {
  if (popularity === "uniform") return Float64Array.from({ length: experts }, () => random.uniform());
  const byRank = Float64Array.from({ length: experts }, (_, rank) => (rank + 1) ** -exponent);
  return shuffler(random.uniform)(byRank);
}

/**
 * Independent logits around a fixed popularity of each expert:
 *
 *     Z_te = skew · popularity_e + temperature · ξ_te,   ξ_te ~ N(0, 1)
 *     popularity_e ~ U[0, 1)   or   rank_e^−exponent with a random order of the ranks 1 … experts
 */
export const gaussianKind = defineStreamKind({
  kind: "gaussian",
  summary: "popularity of each expert plus independent normal noise",
  source: "normal noise around expert popularity; Zipf 1949",
  options: gaussianOptions,
  async create(context, options) {
    const { shape, kernels, random } = context;
    const { tokens, experts } = shape;
    const popularity = drawPopularity(options, experts, random.derive("popularity"));
    const mean = Float32Array.from(popularity, (value) => options.skew * value);
    const addNoise = createNoiseSource(kernels, random.derive("noise"));
    const writeLogits = (logits: Float32Array) => {
      repeatRow(mean, logits, tokens);
      addNoise(logits, options.temperature, tokens * experts);
    };
    return createSyntheticStream(context, writeLogits, options.repeat);
  },
});
