import { z } from "zod";

/** Whether a token's gates are divided by their sum; taken by every router whose gates are affinities. */
export const renormalizeOption = z
  .boolean()
  .default(true)
  .describe("Divide the gates of a token by their sum, so that they sum to 1.");

/** What a random source's state looks like after a trip through JSON. */
export const randomStateSchema = z.strictObject({
  i: z.number().int(),
  j: z.number().int(),
  S: z.array(z.number().int()),
});

/** The state of a router that remembers nothing between batches. */
export const emptyStateSchema = z.strictObject({});
