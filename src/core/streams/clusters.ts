import { z } from "zod";
import { createSyntheticStream, repeatOption } from "./parts/synthetic-stream.ts";
import { createTokenMixture, mixtureFields } from "./parts/token-mixture.ts";
import { defineStreamKind, layersOption } from "./stream.ts";

const clustersOptions = z.strictObject({ ...mixtureFields, repeat: repeatOption, layers: layersOption });

/**
 * Tokens of a stationary mixture of clusters with Zipf weights, seen through a random linear router; the formulas are
 * those of {@link createTokenMixture}. Skewed, correlated and cheap: one matrix product per batch.
 */
export const clustersKind = defineStreamKind({
  kind: "clusters",
  summary: "tokens of a Gaussian mixture with Zipf weights through a random linear router",
  source:
    "Gaussian mixture, Pearson 1894; weights by Zipf 1949; linear router of Shazeer et al. 2017, arXiv 1701.06538",
  options: clustersOptions,
  async create(context, options) {
    const mixture = createTokenMixture(context, options);
    return createSyntheticStream(context, mixture.writeLogits, options.repeat, mixture.passTokens);
  },
});
