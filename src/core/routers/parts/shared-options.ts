import { z } from "zod";
import { auxLossScopes } from "../../metrics/aux-loss.ts";

/** Options of the load-balancing loss's scope, for routers and for what a scenario measures. */
export const auxLossFields = {
  scope: z
    .enum(auxLossScopes)
    .default("batch")
    .describe(
      "Tokens that the loss E·Σ f·p is taken over: each batch; each sequence, and then the mean; or p of each batch with f of " +
        "the last `globalBatches` batches.",
    ),
  sequenceTokens: z
    .number()
    .int()
    .positive()
    .default(4096)
    .describe("Tokens of a sequence, with scope: sequence; the last of a batch may have fewer."),
  globalBatches: z
    .number()
    .int()
    .positive()
    .max(65_536)
    .default(8)
    .describe("Number of latest batches that f is summed over, with scope: global."),
};

/** What a random source's state looks like after a trip through JSON. */
export const randomStateSchema = z.strictObject({
  i: z.number().int(),
  j: z.number().int(),
  S: z.array(z.number().int()),
});

/** The state of a router that remembers nothing between batches. */
export const emptyStateSchema = z.strictObject({});
